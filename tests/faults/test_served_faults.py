"""A server that fails, while it is looked at or in the middle of a block: what it answers is right, or no score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from openai_server import (
    ECHO,
    TEXTS,
    VLLM,
    Fault,
    ModelServer,
    a_web_page,
    changed,
    closed,
    cut_short,
    load,
    serving_models,
    slow,
    status,
    when,
)
from served_models import checkpoint_of
from socket_server import Reply

from evalharness.engines.base import Engine, factory_of
from evalharness.errors import ModelError, NotComparableError
from evalharness.experiments.demo import base
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response

Answers = dict[str, Response | Failure]
NEAR = 1e-4
PROMPTS = ("the fox and the dog", "Question: is it a cat?\nAnswer:", "one two three")
REQUESTS: tuple[Request, ...] = (
    *(Rank(pairs=tuple((prompt, f" {word}") for word in ("yes", "no", "the cat"))) for prompt in PROMPTS),
    *(Generate(prompt=prompt, stop=("\n",), max_tokens=6) for prompt in PROMPTS),
)


def every(number: int) -> bool:
    return True


def third(number: int) -> bool:
    return number % 3 == 2


def answer(change: Callable[[dict[str, Any]], None]) -> Fault:
    """The whole answer changed in place."""

    def fault(number: int, seen: object, given: Any) -> Any:
        change(given)
        return given

    return fault


def rotated(given: dict[str, Any]) -> None:
    """Every choice with what belongs to the next prompt."""
    choices = given["choices"]
    moved = [{**choices[(place + 1) % len(choices)], "index": place} for place in range(len(choices))]
    given["choices"] = moved


def lists(change: Callable[[list[Any]], object]) -> Fault:
    """Every list of log-probabilities changed in place."""

    def change_all(choice: dict[str, Any]) -> None:
        if isinstance(choice.get("prompt_logprobs"), list):
            change(choice["prompt_logprobs"])
        for value in (choice.get("logprobs") or {}).values():
            change(value)

    return changed(change_all)


def shifted(values: list[Any]) -> None:
    values.insert(1, values.pop())


def numbers(value: object) -> Fault:
    """Every third log-probability replaced."""

    def change(choice: dict[str, Any]) -> None:
        for place in (choice.get("prompt_logprobs") or [])[2::3]:
            for entry in place.values():
                entry["logprob"] = value
        if choice.get("logprobs"):
            values = choice["logprobs"]["token_logprobs"]
            values[2::3] = [value] * len(values[2::3])

    return changed(change)


def constant(choice: dict[str, Any]) -> None:
    for place in (choice.get("prompt_logprobs") or [])[1:]:
        for entry in place.values():
            entry["logprob"] = -1.0
    if choice.get("logprobs"):
        values = choice["logprobs"]["token_logprobs"]
        values[1:] = [-1.0] * len(values[1:])


def usage(**changes: object) -> Fault:
    return answer(lambda given: given["usage"].update(changes))


FAULTS: dict[str, Fault] = {
    "overloaded": status(429),
    "overloaded for a while": status(429, **{"Retry-After": "0.01"}),
    "broken": status(500),
    "unavailable": status(503),
    "refused": status(400),
    "forbidden": status(401),
    "not there": status(404),
    "redirected": status(302, Location="http://127.0.0.1:9/v1"),
    "cut short": cut_short,
    "closed": closed,
    "a web page": a_web_page,
    "a list": lambda number, seen, given: Reply(content=b"[]"),
    "an error as an answer": lambda number, seen, given: {"error": {"message": "no"}},
    "no choices": answer(lambda given: given.pop("choices")),
    "empty choices": answer(lambda given: given["choices"].clear()),
    "one choice too few": answer(lambda given: given["choices"].pop()),
    "choices without places": changed(lambda choice: choice.update(index=1)),
    "choices exchanged": answer(rotated),
    "no log-probabilities": changed(lambda choice: choice.update(logprobs=None, prompt_logprobs=None)),
    "too few": lists(lambda values: values.pop()),
    "too many": lists(lambda values: values.extend(values[-2:])),
    "shifted": lists(shifted),
    "without the first": lists(lambda values: values.pop(0)),
    "NaN": numbers(math.nan),
    "infinite": numbers(-math.inf),
    "missing": numbers(None),
    "words": numbers("-1.5"),
    "above 0": numbers(3.0),
    "all the same": changed(constant),
    "another prompt was read": usage(prompt_tokens=3),
    "no text": changed(lambda choice: choice.update(text=None)),
    "broken off": changed(lambda choice: choice.update(finish_reason="abort")),
    "no reason": changed(lambda choice: choice.update(finish_reason=None)),
    "more tokens than allowed": usage(completion_tokens=50),
    "text of no tokens": usage(completion_tokens=0),
}
DIALECTS = {"vllm": VLLM, "echo": ECHO, "texts": TEXTS}
RAISED = (ModelError, NotComparableError)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ModelServer]]:
    models = {"base": load(base())}
    contexts = {name: serving_models(models, dialect) for name, dialect in DIALECTS.items()}
    yield {name: context.__enter__() for name, context in contexts.items()}
    for context in contexts.values():
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def engines(servers: dict[str, ModelServer]) -> Iterator[dict[str, Engine]]:
    """One on each server, opened before any fault."""
    opened = {name: open_engine(server) for name, server in servers.items()}
    yield opened
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="module")
def right(engines: dict[str, Engine]) -> dict[str, Answers]:
    """What each server answers without a fault."""
    return {name: asked(engine) for name, engine in engines.items()}


def open_engine(server: ModelServer, **options: str) -> Engine:
    settings = EngineSettings(name="openai", options={"wait": "0.001", "attempts": "2", **options})
    return factory_of(settings).open(checkpoint_of(server), settings)


def asked(engine: Engine) -> Answers:
    return {each.request_id: each for each in engine.answer(REQUESTS)}


@contextmanager
def faulty(server: ModelServer, fault: Fault) -> Iterator[None]:
    server.switch(fault)
    try:
        yield
    finally:
        server.switch(None)


def assert_no_false_score(given: Answers, right: Answers) -> int:
    """How many requests were answered."""
    assert set(given) == set(right)
    answers = 0
    for key, one in given.items():
        if isinstance(one, Failure):
            continue
        answers, other = answers + 1, right[key]
        if isinstance(one, Ranking):
            assert isinstance(other, Ranking)
            assert (one.tokens, one.greedy) == (other.tokens, other.greedy)
            assert one.logprobs == pytest.approx(other.logprobs, abs=NEAR)
        else:
            assert isinstance(one, Generation) and one == other
    return answers


def test_without_a_fault_all_is_answered(right: dict[str, Answers]) -> None:
    for name, answers in right.items():
        assert not [each for each in answers.values() if isinstance(each, Failure)], name


@pytest.mark.fault(34)
@pytest.mark.parametrize("chosen", [every, pytest.param(third, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "dialect", ["vllm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("echo", "texts"))]
)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_middle_is_never_a_score(
    name: str,
    dialect: str,
    chosen: Callable[[int], bool],
    servers: dict[str, ModelServer],
    engines: dict[str, Engine],
    right: dict[str, Answers],
) -> None:
    server = servers[dialect]
    with faulty(server, when(chosen, FAULTS[name])):
        try:
            given = asked(engines[dialect])
        except RAISED as error:
            assert server.url in str(error) and error.fix
            return
    assert_no_false_score(given, right[dialect])


@pytest.mark.fault(34)
@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["vllm", "texts"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_from_the_beginning_is_never_a_score(
    name: str, dialect: str, servers: dict[str, ModelServer], right: dict[str, Answers]
) -> None:
    server = servers[dialect]
    with faulty(server, FAULTS[name]):
        try:
            engine = open_engine(server)
        except RAISED as error:
            assert server.url in str(error)
            return
        try:
            given = asked(engine)
        except RAISED:
            return
        finally:
            engine.close()
    assert_no_false_score(given, right[dialect])


@pytest.mark.fault(34)
@pytest.mark.slow
def test_a_slow_server_is_never_a_score(servers: dict[str, ModelServer], right: dict[str, Answers]) -> None:
    engine = open_engine(servers["vllm"], timeout="1")
    with faulty(servers["vllm"], when(third, slow(1.5))):
        try:
            given = asked(engine)
        finally:
            engine.close()
    assert_no_false_score(given, right["vllm"])


@pytest.mark.fault(34)
def test_a_server_that_dies_ends_the_run(servers: dict[str, ModelServer], engines: dict[str, Engine]) -> None:
    dying = when(lambda number: number >= 3, closed)
    with faulty(servers["vllm"], dying), pytest.raises(NotComparableError, match="answers no more") as caught:
        asked(engines["vllm"])
    assert caught.value.exit_code == 5 and "what was answered is kept" in caught.value.fix


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", ["overloaded", "broken", "unavailable", "cut short", "closed"])
def test_what_passes_costs_no_answer(name: str, servers: dict[str, ModelServer], right: dict[str, Answers]) -> None:
    engine = open_engine(servers["vllm"], attempts="6")
    with faulty(servers["vllm"], when(lambda number: number in (0, 2, 3), FAULTS[name])):
        assert assert_no_false_score(asked(engine), right["vllm"]) == len(REQUESTS)
    engine.close()
