"""What a served model answers, against this machine's own engine on the same files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from openai_server import ECHO, SILENT, TEXTS, VLLM, Dialect, ModelServer
from served_models import Answers, ask
from slow_cases import first_of_each

from evalharness.engines.base import Engine
from evalharness.engines.openai.writing import sent_stops
from evalharness.errors import NotComparableError
from evalharness.experiments.demo import base
from evalharness.records.requests import Failure, Generate, Generation, Profile, Rank, Ranking, Request, Score, Scoring

NEAR = 1e-4  # nats
Serve = Callable[..., ModelServer]
Open = Callable[..., Engine]
TOKENIZER = {"tokenizer": str(base())}
ZERO = replace(ECHO, no_new_tokens=False)
SLOW = pytest.mark.slow
UNMARKED = replace(ECHO, marked=False)


def assert_alike(served: Answers, local: Answers, may_fail: str = "") -> None:
    for one, other in zip(served, local, strict=True):
        if may_fail and isinstance(one, Failure):
            assert may_fail in one.reason
        elif isinstance(other, Failure):
            assert isinstance(one, Failure), other
        elif isinstance(other, Ranking):
            assert isinstance(one, Ranking), one
            assert (one.tokens, one.greedy) == (other.tokens, other.greedy)
            assert one.logprobs == pytest.approx(other.logprobs, abs=NEAR)
        elif isinstance(other, Scoring):
            assert isinstance(one, Scoring) and one.tokens == other.tokens
            assert one.logprob == pytest.approx(other.logprob, abs=NEAR)
        else:
            assert one == other


@pytest.mark.parametrize(
    ("dialect", "options"),
    [
        pytest.param(VLLM, TOKENIZER, id="prompt_logprobs"),
        pytest.param(VLLM, {}, id="tokenize", marks=SLOW),
        pytest.param(ECHO, TOKENIZER, id="echo", marks=SLOW),
        pytest.param(ZERO, TOKENIZER, id="one more token", marks=SLOW),
    ],
)
def test_a_suite_is_answered_as_here(
    dialect: Dialect,
    options: dict[str, str],
    serve: Serve,
    opened: Open,
    local: Callable[..., Engine],
    suite_requests: Sequence[Request],
) -> None:
    asked = [request for request in suite_requests if not isinstance(request, Score)][::4]
    assert {type(request) for request in asked} == {Rank, Generate}
    assert_alike(ask(opened(serve(dialect), **options), asked), ask(local(), asked))


@pytest.mark.parametrize(
    ("dialect", "options"),
    [(TEXTS, TOKENIZER), pytest.param(TEXTS, {}, marks=SLOW), pytest.param(UNMARKED, {}, marks=SLOW)],
)
@pytest.mark.slow
def test_where_tokens_are_known_by_their_texts_alone_what_is_no_text_fails(
    dialect: Dialect,
    options: dict[str, str],
    serve: Serve,
    opened: Open,
    local: Callable[..., Engine],
    suite_requests: Sequence[Request],
) -> None:
    """As where a token is part of a character."""
    asked = [request for request in suite_requests if isinstance(request, Rank)]
    served = ask(opened(serve(dialect), **options), asked)
    assert_alike(served, ask(local(), asked), may_fail="do not add up to the prompt")
    assert sum(isinstance(answer, Ranking) for answer in served) > 0.8 * len(asked)


def test_an_adapter_is_answered_as_here(
    serve: Serve, opened: Open, local: Callable[..., Engine], suite_requests: Sequence[Request]
) -> None:
    asked = suite_requests[::16]
    served, here = ask(opened(serve(), "lora", **TOKENIZER), asked), ask(local("lora"), asked)
    assert_alike(served, here)
    assert here != ask(local(), asked)


def test_pairs_of_one_context_are_one_request(serve: Serve, opened: Open) -> None:
    server = serve()
    engine, context = opened(server, **TOKENIZER), "the fox and the dog"
    before = len(server.seen)
    (answer,) = ask(engine, [Rank(pairs=tuple((context, f" {word}") for word in ("ran", "sat", "slept")))])
    assert isinstance(answer, Ranking) and len(server.seen) == before + 1
    assert len(server.seen[-1].body["prompt"]) == 3


@pytest.mark.slow
def test_texts_are_scored_in_pieces(serve: Serve, opened: Open, local: Callable[..., Engine]) -> None:
    texts = ["the fox saw a dog.", "", "one two three " * 150]
    asked = [Score(text=text) for text in texts]
    served, here = ask(opened(serve(), **TOKENIZER), asked), ask(local(), asked)
    assert_alike(served[:2], here[:2])
    long, there = served[2], here[2]
    assert isinstance(long, Scoring) and isinstance(there, Scoring)
    # the server needs room for a token that it writes, so that its pieces are a little shorter
    assert long.tokens == there.tokens > 512 and long.logprob == pytest.approx(there.logprob, rel=0.02)


def test_stop_strings_are_obeyed_as_here(serve: Serve, opened: Open, local: Callable[..., Engine]) -> None:
    """One that every server takes, more than some take, and those of white space before and after the first word."""
    stops: list[tuple[str, ...]] = [(), ("\n",), (" ",), (" ", "the"), tuple("abcdefg"), ("\n\n", ".")]
    asked = [
        Generate(prompt=prompt, stop=stop, max_tokens=8, stop_at_once=at_once)
        for prompt in ("the fox and", "Question: what is it?\nAnswer:")
        for stop in stops
        for at_once in (False, True)
    ]
    served, here = ask(opened(serve(), **TOKENIZER), asked), ask(local(), asked)
    for one, other in zip(served, here, strict=True):
        assert isinstance(one, Generation) and isinstance(other, Generation)
        assert (one.text, one.finish_reason) == (other.text, other.finish_reason)


def test_a_server_without_logprobs_writes_alone(
    serve: Serve, opened: Open, local: Callable[..., Engine], suite_requests: Sequence[Request]
) -> None:
    asked = [request for request in suite_requests if isinstance(request, Generate)][::4]
    engine = opened(serve(SILENT))
    for one, other in zip(ask(engine, asked), ask(local(), asked), strict=True):
        assert isinstance(one, Generation) and isinstance(other, Generation) and one.text == other.text
    ranked, scored = ask(engine, [Rank(pairs=(("a", " b"),)), Score(text="a")])
    assert isinstance(ranked, Failure) and isinstance(scored, Failure)
    assert "no logprobs" in ranked.reason


@pytest.mark.parametrize(
    ("dialect", "late"),
    first_of_each([(VLLM, 1), (ECHO, -1), (TEXTS, 1), (VLLM, -1), (ECHO, 1), (TEXTS, -1)], lambda dialect, _: dialect),
)
def test_log_probabilities_of_other_places_are_no_scores(
    serve: Serve, opened: Open, dialect: Dialect, late: int
) -> None:
    """Those of one place later are what the server of llama-cpp-python 0.3.36 echoes."""
    engine = opened(serve(replace(dialect, late=late)))
    (ranked,) = ask(engine, [Rank(pairs=(("the fox and", " the"), ("the fox and", " dog")))])
    assert isinstance(ranked, Failure) and "are those of other places" in ranked.reason


def test_what_cannot_be_asked_is_a_failure(serve: Serve, opened: Open) -> None:
    asked: list[Request] = [
        Rank(pairs=(("the fox", ""),)),
        Rank(pairs=(("\ud83d", " a"),)),
        Rank(pairs=(("the " * 600, " fox"),)),
        Generate(prompt="the " * 600, stop=(), max_tokens=5),
        Generate(prompt="the fox \ud83d", stop=(), max_tokens=5),
        Profile(text="the fox", top_k=3),
    ]
    for options in (TOKENIZER, {}):
        assert all(isinstance(answer, Failure) for answer in ask(opened(serve(), **options), asked))
    texts = ask(opened(serve(TEXTS)), [*asked, Score(text="a"), Rank(pairs=(("", "a"),)), Rank(pairs=(("fo", "x"),))])
    assert all(isinstance(answer, Failure) for answer in texts)


def test_a_chat_is_one_message_of_the_user(serve: Serve, opened: Open) -> None:
    server = serve()
    engine = opened(server, endpoint="chat")
    written, ranked = ask(engine, [Generate(prompt="hello", stop=(), max_tokens=3), Rank(pairs=(("a", " b"),))])
    assert isinstance(written, Generation) and isinstance(ranked, Failure)
    assert server.seen[-1].path == "/v1/chat/completions"
    assert server.seen[-1].body["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("stops", "sent"),
    [
        (("\n", "Q:"), ("\n", "Q:")),
        (("sh", "is"), ("is",)),  # "ish" may be one token
        (("\n", "a\nb"), ("a\nb",)),
        (("a", "b", "c", "d", "e", ""), ("a", "b", "c", "d")),
    ],
)
def test_a_server_is_given_stop_strings_that_hide_no_other(stops: tuple[str, ...], sent: tuple[str, ...]) -> None:
    assert sent_stops(Generate(prompt="a", stop=stops, max_tokens=3)) == sent


def test_a_budget_of_requests_is_kept(serve: Serve, opened: Open) -> None:
    """What it takes to find out what the server can do counts, too."""
    server = serve()
    engine = opened(server, most_requests="60", **TOKENIZER)
    with pytest.raises(NotComparableError, match=r"all \d+ requests that most_requests allows") as caught:
        for number in range(60):
            ask(engine, [Generate(prompt=f"the fox {number}", stop=(), max_tokens=1)])
    assert "what was answered is kept" in caught.value.fix and len(server.seen) == 60
