"""Requests to a server that answers as each test has it, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from evalharness.errors import ModelError, NotComparableError
from evalharness.openai_api.client import ApiClient, RequestLimits
from evalharness.openai_api.replies import ApiFailure, seconds_to_wait

QUICK = RequestLimits(timeout=5.0, attempts=4, first_wait=0.01, longest_wait=0.02)
Reply = tuple[int, dict[str, str], bytes]
FINE: Reply = (200, {}, b'{"choices": []}')


class Scripted(ThreadingHTTPServer):
    """Answers the n-th request, from 0, by `reply(n, body)`; None: closes the connection without an answer."""

    daemon_threads = True

    def __init__(self, reply: Callable[[int, dict[str, Any]], Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.lock = reply, threading.Lock()
        self.seen: list[dict[str, str]] = []
        self.running = self.most_running = 0

        self.connections: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may leave."""

    def server_close(self) -> None:
        super().server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append(dict(self.headers))
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
        try:
            reply = self.server.reply(number, body)
        finally:
            with self.server.lock:
                self.server.running -= 1
        if reply is None:
            self.close_connection = True
            return
        status, headers, content = reply
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(reply: Callable[[int, dict[str, Any]], Reply | None]) -> Iterator[Scripted]:
    server = Scripted(reply)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def first(replies: list[Reply | None]) -> Callable[[int, dict[str, Any]], Reply | None]:
    """These replies, and fine ones after them."""
    return lambda number, _: replies[number] if number < len(replies) else FINE


@pytest.mark.parametrize(
    ("reply", "interruptions"),
    [
        ((500, {}, b""), 1),
        ((503, {"Retry-After": "0.01"}, b"{}"), 1),
        ((429, {"Retry-After": "0.01"}, b"{}"), 0),
        ((200, {}, b'{"choices": [{"te'), 1),
        ((200, {}, b"[]"), 1),
        ((200, {"Content-Length": "100", "Connection": "close"}, b"{}"), 1),
        (None, 1),
    ],
)
def test_what_may_pass_is_tried_again(reply: Reply | None, interruptions: int) -> None:
    # the client has reached the server before, so that a closed connection is no sign of a wrong address
    with serving(first([FINE, reply])) as server, ApiClient(server.url, limits=QUICK) as client:
        client.post("/completions", {})
        assert client.post("/completions", {}) == {"choices": []}
        assert client.interrupted == interruptions
        assert client.requests == len(server.seen) == 3


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((400, {}, b'{"error": {"message": "too long"}}'), r"HTTP status 400 \(too long\)"),
        ((404, {"Content-Type": "text/html"}, b"<h1>"), r"HTTP status 404 \(a web page\).*ends in /v1"),
        ((200, {"Content-Type": "text/html"}, b"<h1>"), "a web page instead of JSON"),
        ((200, {}, b'{"error": {"message": "no"}}'), r"an error \(no\)"),
        ((302, {"Location": "http://elsewhere/"}, b""), "redirects to http://elsewhere/"),
        ((401, {}, b""), "wants a key"),
    ],
)
def test_what_is_wrong_with_the_request_is_not_tried_again(reply: Reply, says: str) -> None:
    with serving(lambda *_: reply) as server, ApiClient(server.url, limits=QUICK) as client:
        with pytest.raises(ModelError, match=says):
            client.post("/completions", {})
        assert client.requests == 1


def test_no_server_is_said_at_once() -> None:
    with serving(lambda *_: FINE) as server:
        url = server.url
    with ApiClient(url, limits=RequestLimits()) as client, pytest.raises(ModelError, match="no server answers here"):
        client.get("/models")
    assert client.requests == 1


def test_a_server_that_dies_is_said_to_be_dead_after_every_attempt() -> None:
    with serving(lambda *_: FINE) as server:
        client = ApiClient(server.url, limits=QUICK)
        client.get("/models")
    with client, pytest.raises(NotComparableError, match=r"answers no more.*4 attempts") as caught:
        list(client.post_all("/completions", [{}] * 5))
    assert server.url in str(caught.value) and caught.value.exit_code == 5


def test_one_request_may_fail_where_others_do_not() -> None:
    def reply(_: int, body: dict[str, Any]) -> Reply:
        return (500, {}, b"") if body["n"] == 3 else (200, {}, json.dumps({"choices": [body["n"]]}).encode())

    with serving(reply) as server, ApiClient(server.url, limits=QUICK) as client:
        answers = dict(client.post_all("/completions", [{"n": n} for n in range(40)]))
    assert answers.pop(3) == ApiFailure(reason="HTTP status 500", status=500)
    assert answers == {n: {"choices": [n]} for n in range(40) if n != 3}


def test_a_server_that_answers_nothing_is_dead() -> None:
    with (
        serving(lambda *_: (500, {}, b"")) as server,
        ApiClient(server.url, limits=QUICK) as client,
        pytest.raises(NotComparableError, match="HTTP status 500"),
    ):
        list(client.post_all("/completions", [{}] * 40))


def test_fewer_requests_run_at_once_where_the_server_is_overloaded() -> None:
    def reply(number: int, _: dict[str, Any]) -> Reply:
        time.sleep(0.005)
        return (429, {}, b"") if number < 8 else FINE

    limits = RequestLimits(concurrency=8, attempts=8, first_wait=0.05, longest_wait=0.1)
    with serving(reply) as server, ApiClient(server.url, limits=limits) as client:
        answers = list(client.post_all("/completions", [{}] * 20))
    assert [place for place, _ in sorted(answers, key=lambda pair: pair[0])] == list(range(20))
    assert server.most_running <= 8 and client._pace.allowed < 8


def test_a_slow_answer_is_a_time_out_also_where_it_trickles() -> None:
    limits = RequestLimits(timeout=0.2, attempts=2, first_wait=0.01)
    with serving(lambda *_: (time.sleep(0.4), FINE)[1]) as server, ApiClient(server.url, limits=limits) as client:
        assert client.try_post("/completions", {}) == ApiFailure(reason="no answer within 0.2 seconds")
        assert client.interrupted == 2


def test_no_more_requests_are_sent_than_are_allowed() -> None:
    limits = RequestLimits(most_requests=5)
    with serving(lambda *_: FINE) as server, ApiClient(server.url, limits=limits) as client:
        with pytest.raises(NotComparableError, match="all 5 requests"):
            list(client.post_all("/completions", [{}] * 9))
        assert client.requests == 5 >= len(server.seen)


def test_the_key_goes_to_the_server_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("EVALHARNESS_API_KEY", "sk-secret")
    said = b'{"error": {"message": "no such key: sk-secret"}}'
    with (
        serving(lambda *_: (401, {}, said)) as server,
        ApiClient(server.url, limits=QUICK) as client,
        pytest.raises(ModelError, match=r"refuses the key.*\[key\]") as caught,
    ):
        client.get("/models")
    assert server.seen[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(caught.value)


def test_an_answer_that_nobody_waits_for_holds_nothing_up() -> None:
    begun = threading.Event()

    def reply(number: int, _: dict[str, Any]) -> Reply:
        if number:
            begun.wait(5)
        return FINE

    with serving(reply) as server, ApiClient(server.url, limits=QUICK) as client:
        answers = client.post_all("/completions", [{}] * 4)
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        begun.set()


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("7", 7, 7), ("-1", 0, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("Fri, 01 Jan 2100 00:00:00 GMT", 1e6, 1e10)],
)
def test_retry_after_is_seconds_or_a_date(text: str, least: float, most: float) -> None:
    seconds = seconds_to_wait(text)
    assert seconds is not None and least <= seconds <= most
    assert seconds_to_wait("soon") is None
