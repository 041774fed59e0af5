"""A hub of one's own: the part of the hub's HTTP interface that `datasets` and `huggingface_hub` use to read a public
data set.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Files = Mapping[str, bytes]  # path in the repository -> content


class Hub(ThreadingHTTPServer):
    """Data sets as lists of commits, the last of which is the newest; `asked` are the requests so far."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sets: dict[str, list[Files]] = {}
        self.asked: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, name: str, files: Files) -> str:
        """Publish files as the newest state of a data set; the commit's hash."""
        self.sets.setdefault(name, []).append(files)
        return sha(files)


def sha(files: Files) -> str:
    return hashlib.sha1(
        json.dumps({path: hashlib.sha1(data).hexdigest() for path, data in files.items()}, sort_keys=True).encode()
    ).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def environment(home: Path, endpoint: str) -> dict[str, str]:
    """Variables of a process that knows this hub and no other, with a cache of its own."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HF_", "TRANSFORMERS_", "EVALHARNESS_", "HUGGING"))
    }
    return {
        **clean,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home / "hf"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HUB_DISABLE_XET": "1",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        self._answer(b"")

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, *_: object) -> None: ...

    def _answer(self, body: bytes) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        api, parts = path.startswith("/api/"), path.removeprefix("/api").strip("/").split("/")
        if parts[0] != "datasets" or len(parts) < 3:
            self._refuse("RepoNotFound")
            return
        name, rest = "/".join(parts[1:3]), "/".join(parts[5:])
        verb, revision = parts[3] if len(parts) > 3 else "", parts[4] if len(parts) > 4 else "main"
        files = self._files(name, revision)
        if files is None:
            self._refuse("RevisionNotFound" if name in self.server.sets else "RepoNotFound")
        elif not api and verb == "resolve":
            self._send(files, rest)
        elif verb in ("", "revision"):
            info = {
                "id": name,
                "sha": sha(files),
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
            }
            self._json({**info, "siblings": [{"rfilename": each} for each in files]})
        elif verb == "tree":
            found = [entry for entry in _tree(files) if not rest or entry["path"].startswith(f"{rest}/")]
            self._json(found) if found else self._refuse("EntryNotFound")
        elif verb == "paths-info":
            wanted = _asked_paths(body)
            self._json([entry for entry in _tree(files) if entry["path"] in wanted])
        else:
            self._refuse("EntryNotFound")

    def _files(self, name: str, revision: str) -> Files | None:
        commits = self.server.sets.get(name, [])
        if revision == "main":
            return commits[-1] if commits else None
        return next((files for files in commits if sha(files) == revision), None)

    def _send(self, files: Files, path: str) -> None:
        if path not in files:
            self._refuse("EntryNotFound", sha(files))
            return
        data, status, extra = files[path], 200, {}
        if wanted := self.headers.get("Range"):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            last = min(int(end or len(data) - 1), len(data) - 1)
            status, extra = 206, {"Content-Range": f"bytes {start}-{last}/{len(data)}"}
            data = data[int(start) : last + 1]
        self._reply(
            status, data, {"X-Repo-Commit": sha(files), "ETag": f'"{hashlib.sha1(files[path]).hexdigest()}"', **extra}
        )

    def _json(self, value: Any) -> None:
        self._reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, code: str, commit: str = "") -> None:
        self._reply(404, b"", {"X-Error-Code": code, **({"X-Repo-Commit": commit} if commit else {})})

    def _reply(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tree(files: Files) -> list[dict[str, Any]]:
    folders = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}
    oid = {path: hashlib.sha1(data).hexdigest() for path, data in files.items()}
    found = [{"type": "file", "path": path, "size": len(data), "oid": oid[path]} for path, data in files.items()]
    return [*({"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)), *found]


def _asked_paths(body: bytes) -> list[str]:
    text = body.decode()
    if text.startswith("{"):
        document = json.loads(text)["paths"]
        return [document] if isinstance(document, str) else list(document)
    return urllib.parse.parse_qs(text).get("paths", [])
