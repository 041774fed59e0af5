"""A server on a real socket that answers as a test has it, and closes every connection at its end."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a test's server answers."""

    content: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(answer: object, status: int = 200, **headers: str) -> Reply:
    return Reply(content=json.dumps(answer).encode(), status=status, headers=headers)


class SocketServer(ThreadingHTTPServer):
    """Answers the n-th request, from 0, by `reply(n, request)`; None: closes the connection without an answer. `seen`:
    all requests; `most_running`: how many were under way at once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, reply: Callable[[int, Seen], Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.lock = reply, threading.Lock()
        self.seen: list[Seen] = []
        self.running = self.most_running = 0
        self._connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave."""

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: SocketServer
    protocol_version, wbufsize = "HTTP/1.1", 1 << 16  # an answer in one segment, for which no acknowledgement waits

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        seen = Seen(method=self.command, path=self.path, headers=dict(self.headers), body=body)
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append(seen)
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
        try:
            reply = self.server.reply(number, seen)
        finally:
            with self.server.lock:
                self.server.running -= 1
        if reply is None:
            self.close_connection = True
            return
        usual = {"Content-Length": str(len(reply.content)), "Content-Type": "application/json"}
        self.send_response(reply.status)
        for name, value in {**usual, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(server: SocketServer) -> Iterator[SocketServer]:
    """Serve in a thread until the end."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(reply: Callable[[int, Seen], Reply | None]) -> Iterator[SocketServer]:
    with running(SocketServer(reply)) as server:
        yield server
