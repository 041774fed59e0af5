"""Requests to a server that answers as each test has it, over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from socket_server import Reply, Seen, json_reply, serving

from evalharness.errors import ModelError, NotComparableError
from evalharness.openai_api.client import ApiClient, RequestLimits
from evalharness.openai_api.replies import ApiFailure, seconds_to_wait

QUICK = RequestLimits(timeout=5.0, attempts=4, first_wait=0.01, longest_wait=0.02)
FINE = Reply(content=b'{"choices": []}')


def first(replies: list[Reply | None]) -> Callable[[int, Seen], Reply | None]:
    """These replies, and fine ones after them."""
    return lambda number, _: replies[number] if number < len(replies) else FINE


@pytest.mark.parametrize(
    ("reply", "interruptions"),
    [
        (Reply(status=500, headers={}, content=b""), 1),
        (Reply(status=503, headers={"Retry-After": "0.01"}, content=b"{}"), 1),
        (Reply(status=429, headers={"Retry-After": "0.01"}, content=b"{}"), 0),
        (Reply(status=200, headers={}, content=b'{"choices": [{"te'), 1),
        (Reply(status=200, headers={}, content=b"[]"), 1),
        (Reply(status=200, headers={"Content-Length": "100", "Connection": "close"}, content=b"{}"), 1),
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
        (Reply(status=400, headers={}, content=b'{"error": {"message": "too long"}}'), r"HTTP status 400 \(too long\)"),
        (
            Reply(status=404, headers={"Content-Type": "text/html"}, content=b"<h1>"),
            r"HTTP status 404 \(a web page\).*ends in /v1",
        ),
        (Reply(status=200, headers={"Content-Type": "text/html"}, content=b"<h1>"), "a web page instead of JSON"),
        (Reply(status=200, headers={}, content=b'{"error": {"message": "no"}}'), r"an error \(no\)"),
        (Reply(status=302, headers={"Location": "http://elsewhere/"}, content=b""), "redirects to http://elsewhere/"),
        (Reply(status=401, headers={}, content=b""), "wants a key"),
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
    def reply(_: int, seen: Seen) -> Reply:
        return Reply(status=500) if seen.body["n"] == 3 else json_reply({"choices": [seen.body["n"]]})

    with serving(reply) as server, ApiClient(server.url, limits=QUICK) as client:
        answers = dict(client.post_all("/completions", [{"n": n} for n in range(40)]))
    assert answers.pop(3) == ApiFailure(reason="HTTP status 500", status=500)
    assert answers == {n: {"choices": [n]} for n in range(40) if n != 3}


def test_a_server_that_answers_nothing_is_dead() -> None:
    with (
        serving(lambda *_: Reply(status=500)) as server,
        ApiClient(server.url, limits=QUICK) as client,
        pytest.raises(NotComparableError, match="HTTP status 500"),
    ):
        list(client.post_all("/completions", [{}] * 40))


def test_fewer_requests_run_at_once_where_the_server_is_overloaded() -> None:
    def reply(number: int, _: Seen) -> Reply:
        time.sleep(0.005)
        return Reply(status=429) if number < 8 else FINE

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
        serving(lambda *_: Reply(status=401, content=said)) as server,
        ApiClient(server.url, limits=QUICK) as client,
        pytest.raises(ModelError, match=r"refuses the key.*\[key\]") as caught,
    ):
        client.get("/models")
    assert server.seen[0].headers["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(caught.value)


def test_an_answer_that_nobody_waits_for_holds_nothing_up() -> None:
    begun = threading.Event()

    def reply(number: int, _: Seen) -> Reply:
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
