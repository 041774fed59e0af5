"""The hub as a process meets it: away, offline, without the data set, or with it. Each in a process of its own, against
a server of ours.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from data import hub_stub

PROGRAM = """
import sys
from pathlib import Path
from evalharness.errors import DataError
from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.tasks.spec import task_from

def task(name):
    values = {"dataset_path": f"who/{name}", "test_split": "test", "doc_to_text": "q", "doc_to_target": "a"}
    return task_from({"task": name, **values}, Path("x.yaml"))

tasks = [task(name) for name in ("one", "two", "three")]
print(missing(tasks, DataSource()))
for each in tasks:
    try:
        read_rows(each, "test", DataSource())
    except DataError as error:
        print(error)
"""


def lines(tmp_path: Path, **environment: str) -> list[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, "HF_HOME": str(tmp_path), **environment},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


class _Handler(BaseHTTPRequestHandler):
    status = 404

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        if self.server.status == 404:  # type: ignore[attr-defined]
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(params=[404, 503])
def server(request: pytest.FixtureRequest) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.status = [], request.param  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.fault(33)
def test_all_tasks_without_rows_are_named_in_one_line(tmp_path: Path) -> None:
    first, *each = lines(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")  # the discard port: nothing listens
    assert "one, two, three" in first and "the hub is away" in first
    assert "--data-dir" in first and "--data NAME=PATH" in first
    assert all("the hub is away" in line for line in each) and len(each) == 3


SILENT = """
import threading, time
from evalharness.checkpoints.hub import fetch
from evalharness.data.hub import HUB
from evalharness.errors import EvalHarnessError
from evalharness.tasks.library import Library

said = []

def ask(what):
    began = time.monotonic()
    try:
        said.append(str(what()))
    except EvalHarnessError as error:
        said.append(str(error))
    said.append(f"seconds {time.monotonic() - began}")

task = Library().task("sst2")
asked = (lambda: HUB.read(task, "test"), lambda: fetch("a/b", None))
both = [threading.Thread(target=ask, args=[each]) for each in asked]
for thread in both:
    thread.start()
for thread in both:
    thread.join()
print("\\n".join(said))
"""


@pytest.mark.fault(33)
def test_a_hub_that_accepts_and_never_answers_is_given_up_within_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = hub_stub.environment(tmp_path, endpoint)
        command = [sys.executable, "-c", SILENT]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    said = process.stdout.splitlines()
    assert sum("no answer within 4 s" in line for line in said) == 2, process.stdout + process.stderr
    assert all(float(line.split()[1]) < 5 for line in said if line.startswith("seconds ")) and len(said) == 4


@pytest.mark.fault(33)
def test_offline_mode_is_named(tmp_path: Path) -> None:
    first, *each = lines(tmp_path, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in first
    assert all("cannot be loaded" in line for line in each) and len(each) == 3


@pytest.mark.fault(33)
def test_a_hub_that_fails_is_asked_once_and_one_that_answers_once_for_each(
    tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    first, *each = lines(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{server.server_address[1]}")
    asked = [path for path in server.asked if "/api/datasets/" in path]  # type: ignore[attr-defined]
    assert "one, two, three" in first
    if server.status == 503:  # type: ignore[attr-defined]
        assert len(asked) == 1
        assert "the hub is away" in first
    else:
        assert {path.split("/who/")[1].split("?")[0].split("/")[0] for path in asked} == {"one", "two", "three"}
        assert "not on the hub" in first
        assert all("no data set who/" in line for line in each)


CARD = b"""---
configs:
- config_name: part
  data_files:
  - {split: test, path: part/test-*}
  - {split: train, path: part/train-*}
---
"""
READING = """
import json, sys
from pathlib import Path
from evalharness.errors import DataError
from evalharness.data import hub
from evalharness.data.lock import Lock
from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.tasks.spec import task_from

lock = Path(sys.argv[1])
where = {"dataset_path": "who/what", "dataset_name": "part", "test_split": "test"}
task = task_from({"task": "mine", **where, "doc_to_text": "q", "doc_to_target": "a"}, Path("x.yaml"))

def read(split="test", path=lock):
    hub.HUB.revisions.clear()  # as a process that has just begun
    source = DataSource(lock=path)
    try:
        assert missing([task], source) is None
        rows = read_rows(task, split, source)
        values = {"rows": rows.rows, "revision": rows.revision, "digest": rows.digest, "origin": rows.origin}
        print(json.dumps(values), flush=True)
    except DataError as error:
        print(json.dumps(str(error)), flush=True)

read()
read("train")
read("nosuch")
input()  # a new commit
read()
read(path=None)
Lock(lock).forget(["who/what"])
read()
text = lock.read_text()
lock.write_text(text.replace(json.loads(text)["data_sets"]["who/what"]["splits"]["part"]["test"]["sha256"], "0" * 64))
read()
text = json.loads(text)
text["data_sets"]["who/what"]["revision"] = "f" * 40
lock.write_text(json.dumps(text))
hub.HUB.revisions.clear()
print(json.dumps(str(missing([task], DataSource(lock=lock)))), flush=True)
"""


def parquet(rows: list[dict[str, object]]) -> bytes:
    data = io.BytesIO()
    pd.DataFrame(rows).to_parquet(data, index=False)
    return data.getvalue()


def commit(hub: hub_stub.Hub, *questions: str) -> str:
    rows: list[dict[str, object]] = [
        {"q": question, "label": number, "many": [1.5, 2.0]} for number, question in enumerate(questions)
    ]
    pieces = {f"part/test-0000{i}-of-00002.parquet": parquet(rows[i : i + 1]) for i in range(2)}
    return hub.commit("who/what", {"README.md": CARD, **pieces, "part/train-00000-of-00001.parquet": parquet(rows)})


def test_rows_are_read_locked_and_checked(tmp_path: Path) -> None:
    """The whole road through `datasets`: card, file list, download, rows; a newer commit is not read until the lock is
    given up.
    """
    lock = tmp_path / "own.lock.json"
    with hub_stub.serving() as hub:
        old = commit(hub, "what is tea?", "naïve 東京")
        command, environment = [sys.executable, "-c", READING, str(lock)], hub_stub.environment(tmp_path, hub.endpoint)
        with subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert running.stdin is not None and running.stdout is not None
            found = [json.loads(running.stdout.readline()) for _ in range(3)]
            new = commit(hub, "what is coffee?", "newer")
            out, said = running.communicate("\n", timeout=120)
        assert running.returncode == 0, said
        test, train, nosuch, pinned, newest, accepted, differs, gone = [*found, *map(json.loads, out.splitlines())]
    assert test["rows"] == [
        {"q": "what is tea?", "label": 0, "many": [1.5, 2.0]},
        {"q": "naïve 東京", "label": 1, "many": [1.5, 2.0]},
    ]
    assert test["revision"] == old and old[:12] in test["origin"]
    assert len(train["rows"]) == 2
    assert "cannot be loaded from the hub" in nosuch and "nosuch" in nosuch
    assert (pinned["rows"], pinned["revision"], pinned["digest"]) == (test["rows"], old, test["digest"])
    assert (newest["rows"][0]["q"], newest["revision"]) == ("what is coffee?", new)
    assert (accepted["rows"], accepted["revision"]) == (newest["rows"], new)
    assert newest["digest"][:16] in differs and "0" * 16 in differs and "data accept who/what" in differs
    assert "no rows for mine" in gone and f"not on the hub at the commit that {lock} has for who/what" in gone


def test_what_was_read_once_is_read_again_offline_and_still_checked(tmp_path: Path) -> None:
    program = READING.split("read()\nread(")[0] + "read()\n"
    with hub_stub.serving() as hub:
        commit(hub, "one", "two")
        first, again = (
            subprocess.run(
                [sys.executable, "-c", program, str(tmp_path / "lock.json")],
                env={**hub_stub.environment(tmp_path, hub.endpoint), **offline},
                capture_output=True,
                text=True,
                timeout=60,
            )
            for offline in ({}, {"HF_HUB_OFFLINE": "1"})
        )
    online, offline_ = json.loads(first.stdout), json.loads(again.stdout)
    assert (offline_["rows"], offline_["digest"]) == (online["rows"], online["digest"])
    assert offline_["revision"] is None and "cache" in offline_["origin"]
