"""Replies that no server should send: each is a failure of its own request, and none shows the key."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from invented_models import Invented, inventing
from socket_server import Reply, Seen, json_reply, serving

from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.openai_api.client import ApiClient, RequestLimits
from evalharness.openai_api.location import parse_served
from evalharness.openai_api.replies import ApiFailure, safe_words
from evalharness.openai_api.served_model import look_at

QUICK = RequestLimits(timeout=5.0, attempts=2, first_wait=0.01, longest_wait=0.02)
DEEP = b"[" * 200_000 + b"]" * 200_000
ODD = [
    Reply(content=DEEP),
    Reply(content=DEEP, status=400),
    Reply(content=b'{"error":' * 3000 + b"1" + b"}" * 3000, status=400),
    Reply(content=b'{"choices": ' + b"1" * 5000 + b"}"),
]


@pytest.mark.parametrize("reply", ODD)
def test_what_cannot_be_read_is_a_failure_of_one_request(reply: Reply) -> None:
    with (
        serving(lambda _, seen: reply if seen.body["n"] == 1 else json_reply({"choices": []})) as server,
        ApiClient(server.url, limits=QUICK) as client,
    ):
        answers = dict(client.post_all("/completions", [{"n": n} for n in range(4)]))
    assert isinstance(answers.pop(1), ApiFailure) and set(answers) == {0, 2, 3}


@pytest.mark.parametrize(
    "content",
    [DEEP, b'{"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [-1%s]}}]}' % (b"0" * 400)],
)
def test_a_model_is_not_recognised_by_what_cannot_be_read(content: bytes) -> None:
    with inventing({"m": Invented()}) as server:
        usual = server.reply
        server.reply = lambda n, seen: Reply(content=content) if "completions" in seen.path else usual(n, seen)
        with pytest.raises(ModelError, match=r"short prompt|another form"):
            look_at(parse_served(server.address("m")), False, QUICK)


@pytest.mark.parametrize("key", ['sk-a"b\\c', "sk-it's", "sk-a/b+c d", "sk-<&>"])
@pytest.mark.parametrize(
    "written", [str, json.dumps, repr, lambda key: json.dumps({"problem": json.dumps({"said": key})}), ascii]
)
def test_no_form_of_the_key_is_shown(key: str, written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALHARNESS_API_KEY", key)
    text = safe_words(f"no such key: {written(key)} at all")
    assert "[key]" in text and key[3:] not in text and written(key)[4:] not in text


def test_an_error_that_quotes_the_key_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALHARNESS_API_KEY", 'sk-a"b\\c')

    def reply(_: int, seen: Seen) -> Reply:
        return json_reply({"problem": {"said": seen.headers["Authorization"]}}, 401)

    with (
        serving(reply) as server,
        ApiClient(server.url, limits=QUICK) as client,
        pytest.raises(ModelError, match=r"refuses the key.*Bearer \[key\]"),
    ):
        client.get("/models")


@pytest.mark.parametrize("key", ["schlüssel", "sk-abc\nsk-old", "sk-a\tb", "sk-😀"])
def test_a_key_that_no_header_carries_is_refused_unseen(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALHARNESS_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY: holds a line break, or another character") as caught:
        ApiClient("http://127.0.0.1:1/v1")
    assert key[3:6] not in str(caught.value)


def test_a_list_of_models_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALHARNESS_API_KEY", "sk-secret")
    with inventing({"sk-secret": Invented()}) as server, pytest.raises(ModelError, match=r"\[key\]") as caught:
        look_at(parse_served(server.address("m")), False)
    assert "sk-secret" not in str(caught.value)


def test_a_body_that_cannot_be_unpacked_is_no_missing_server() -> None:
    def reply(_: int, seen: Seen) -> Reply:
        return Reply(content=b"abc", headers={"Content-Encoding": "gzip"})

    with serving(reply) as server, ApiClient(server.url, limits=QUICK) as client:
        failure = client.try_post("/completions", {})
        assert isinstance(failure, ApiFailure) and failure.reason.startswith("what cannot be unpacked")
        assert client.was_reached and client.requests == 2


DRIPPED = {
    "header": (b"HTTP/1.1 200 OK\r\n", b"X"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b" "),
}


@pytest.mark.parametrize("name", DRIPPED)
def test_an_answer_that_trickles_ends_with_the_time_that_it_has(name: str) -> None:
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(DRIPPED[name][0])
                while not ended.wait(0.05):
                    connection.sendall(DRIPPED[name][1])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        limits = RequestLimits(timeout=0.4, attempts=1)
        try:
            with (
                ApiClient(url, limits=limits) as client,
                pytest.raises(ModelError, match=r"gave no answer within 0.4 seconds; have it answer sooner"),
            ):
                client.post("/completions", {})
        finally:
            ended.set()
            thread.join()


def test_clients_share_a_budget() -> None:
    limits = RequestLimits(most_requests=3)
    with serving(lambda *_: json_reply({"choices": []})) as server:
        for _ in range(3):
            with ApiClient(server.url, limits=limits) as client:
                client.post("/completions", {})
        with ApiClient(server.url, limits=limits) as client, pytest.raises(NotComparableError, match="all 3 requests"):
            client.post("/completions", {})
        assert len(server.seen) == limits.budget.spent == 3


def test_recognition_keeps_to_its_limits() -> None:
    with inventing({"m": Invented()}) as server:
        with pytest.raises(NotComparableError, match="all 20 requests"):
            look_at(parse_served(server.address("m")), False, RequestLimits(most_requests=20, concurrency=2))
        assert len(server.seen) <= 20 and server.most_running <= 2  # the last may be on its way
