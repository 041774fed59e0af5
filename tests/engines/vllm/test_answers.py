"""The engine vllm on answers that vLLM 0.32 gave on the tiny base (answers.json, by record_answers.py), against the
engine hf on the same base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalharness.checkpoints.generation_rules import generation_config
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.agreement import distance
from evalharness.engines.base import factory_of
from evalharness.engines.hf.pair_scores import NONFINITE
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.engines.vllm.answers import ModelLimits, VllmAnswers
from evalharness.engines.vllm.calls import Call
from evalharness.engines.vllm.decoding import NOTHING
from evalharness.engines.vllm.profiles import FIRST_RUNNER
from evalharness.engines.vllm.scores import MISSING
from evalharness.records.models import EngineSettings
from evalharness.records.requests import (
    Failure,
    Generate,
    Generation,
    Profile,
    Profiling,
    Rank,
    Ranking,
    Request,
    Response,
    Score,
)

HERE = Path(__file__).parent
BASE = HERE.parents[2] / "fixtures" / "models" / "tiny-base"
RECORDED = json.loads((HERE / "answers.json").read_text())["calls"]
LIMITS = ModelLimits(window=512, vocabulary=2000, certain=False)
STORY = "Papers write that a bond broker insured quarterly dividends amid protests."
Positions = list[dict[int, SimpleNamespace] | None]


def positions(stored: Sequence[dict[str, list[Any]] | None] | None) -> Positions | None:
    """As vLLM's objects hold them: by token an object of a log-probability and a rank."""
    if stored is None:
        return None
    return [
        place and {int(token): SimpleNamespace(logprob=value, rank=rank) for token, (value, rank) in place.items()}
        for place in stored
    ]


def answered(stored: dict[str, Any]) -> Any:
    written = SimpleNamespace(token_ids=stored["token_ids"], logprobs=positions(stored["logprobs"]))
    prompt = positions(stored["prompt_logprobs"])
    return SimpleNamespace(prompt_logprobs=prompt, prompt_token_id_logprobs=None, outputs=[written])


def key(tokens: Sequence[int], sampling: Any) -> str:
    return json.dumps([list(tokens), dict(sampling)], sort_keys=True)


class Replay:
    """Gives what vLLM gave when it was asked the very same; `change` may spoil it."""

    def __init__(self) -> None:
        self.known = {key(each["tokens"], each["sampling"]): each for each in RECORDED}
        self.rounds: list[Sequence[Call]] = []
        self.change = lambda answer: answer

    def __call__(self, calls: Sequence[Call], adapter: bool = True) -> list[Any]:
        self.rounds.append(calls)
        return [self.change(answered(self.known[key(call.tokens, call.sampling)])) for call in calls]


@pytest.fixture
def replay() -> Replay:
    return Replay()


def answers_by(ask: Any, limits: ModelLimits = LIMITS, **rules: Any) -> VllmAnswers:
    checkpoint = recognise(str(BASE), role="base")
    config = generation_config(checkpoint, "base")
    config.update(**rules)
    return VllmAnswers(ask, TokenizerAdapter(load_tokenizer(BASE)), config, limits)


def in_order(given: Iterator[Response | Failure], requests: Sequence[Request]) -> list[Response | Failure]:
    by_id = {answer.request_id: answer for answer in given}
    return [by_id[request.id] for request in requests]


@pytest.fixture(scope="module")
def asked() -> tuple[Request, ...]:
    namespace: dict[str, Any] = {}
    exec((HERE / "asked.py").read_text(), namespace)  # beside this file, and not in a package
    requests: tuple[Request, ...] = namespace["REQUESTS"]
    return requests


@pytest.fixture(scope="module")
def by_hf(asked: tuple[Request, ...]) -> list[Response | Failure]:
    settings = EngineSettings(device="cpu")
    engine = factory_of(settings).open(recognise(str(BASE), role="base"), settings)
    given = in_order(engine.answer(asked), asked)
    engine.close()
    return given


def test_its_answers_are_those_of_the_engine_hf(
    replay: Replay, asked: tuple[Request, ...], by_hf: list[Response | Failure]
) -> None:
    own = in_order(answers_by(replay).to(asked), asked)
    assert sum(isinstance(answer, Failure) for answer in own) == 2
    for here, there in zip(own, by_hf, strict=True):
        if isinstance(there, Failure | Generation):
            assert here == there
        else:
            assert distance(here, there) < 1e-3, (here, there)  # 1,100 tokens of a text that is scored in pieces
        if isinstance(there, Ranking):
            assert isinstance(here, Ranking)
            assert here.greedy == there.greedy


def test_pairs_that_read_the_same_share_a_prompt_and_a_block_is_one_call(replay: Replay) -> None:
    pairs = (("The bank", " said"), ("The bank", " said"))
    list(answers_by(replay).to([Rank(pairs=pairs)]))
    ((call,),) = replay.rounds
    assert "prompt_logprobs" not in call.sampling  # so that vLLM may take the prompt from its cache


def test_white_space_before_the_first_word_ends_no_text(replay: Replay) -> None:
    """vLLM stops there, and is asked to go on."""
    request = Generate(prompt="The", stop=("\n", " "), max_tokens=20)
    (answer,) = answers_by(replay).to([request])
    assert isinstance(answer, Generation)
    assert answer.text.strip() and answer.finish_reason == "stop"
    assert len(replay.rounds) > 1
    first, second = replay.rounds[0][0], replay.rounds[1][0]
    assert second.tokens[: len(first.tokens)] == first.tokens
    assert second.sampling["max_tokens"] < first.sampling["max_tokens"]


# ---- what is no answer -----------------------------------------------------------------------------------------------


def spoil(**fields: Any) -> Any:
    def change(answer: Any) -> Any:
        written = SimpleNamespace(**{**vars(answer.outputs[0]), **fields.get("written", {})})
        return SimpleNamespace(**{**vars(answer), **fields.get("answer", {}), "outputs": [written]})

    return change


NANS = [{token: SimpleNamespace(logprob=math.nan, rank=1) for token in range(2000)}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (spoil(answer={"prompt_logprobs": None}), MISSING),
        (spoil(answer={"prompt_logprobs": [None]}), MISSING),
        (spoil(written={"logprobs": None}), MISSING),
        (spoil(written={"logprobs": [{}]}), MISSING),
        (spoil(written={"logprobs": NANS}), NONFINITE),
    ],
)
def test_a_log_probability_that_is_missing_or_no_number_is_a_failure(
    replay: Replay, asked: tuple[Request, ...], change: Any, reason: str
) -> None:
    ranked = next(request for request in asked if isinstance(request, Rank))
    replay.change = change
    (answer,) = answers_by(replay).to([ranked])
    assert answer == Failure(request_id=ranked.id, reason=reason)


def test_an_infinite_log_probability_is_a_failure(replay: Replay, asked: tuple[Request, ...]) -> None:
    scored = next(request for request in asked if isinstance(request, Score))
    place = [{token: SimpleNamespace(logprob=-math.inf, rank=1) for token in range(2000)}]
    replay.change = spoil(written={"logprobs": place})
    (answer,) = answers_by(replay).to([scored])
    assert answer == Failure(request_id=scored.id, reason=NONFINITE)


def test_a_text_of_no_numbers_and_one_of_no_tokens_are_failures(replay: Replay) -> None:
    request = Generate(prompt=STORY, stop=(), max_tokens=16)
    replay.change = spoil(written={"logprobs": NANS * 16})
    assert list(answers_by(replay).to([request])) == [Failure(request_id=request.id, reason=NONFINITE)]
    replay.change = spoil(written={"token_ids": [], "logprobs": []})
    assert list(answers_by(replay).to([request])) == [Failure(request_id=request.id, reason=NOTHING)]


def test_certain_tokens_of_a_prompt_need_the_second_runner(replay: Replay) -> None:
    request = Profile(text=" amid", top_k=1, context=STORY, at=((5, 6), (8,)))
    (answer,) = answers_by(replay).to([request])
    assert answer == Failure(request_id=request.id, reason=FIRST_RUNNER)
    assert replay.rounds == []


def test_certain_tokens_of_a_prompt_are_asked_for_by_name() -> None:
    seen: list[Call] = []

    def ask(calls: Sequence[Call], adapter: bool = True) -> list[Any]:
        """Both tokens are third, and token 7 is the likeliest."""
        seen.extend(calls)
        tokens = calls[0].tokens
        likeliest = {7: SimpleNamespace(logprob=-0.5, rank=1)}
        last = [{token: SimpleNamespace(logprob=-2.0, rank=3), **likeliest} for token in tokens[-2:]]
        certain = [[-3.0, -4.0], [-5.0, -math.inf]]  # padded where fewer were named
        written = SimpleNamespace(token_ids=[1], logprobs=None)
        prompt = [None] * (len(tokens) - 2) + last
        return [SimpleNamespace(prompt_logprobs=prompt, prompt_token_id_logprobs=certain, outputs=[written])]

    request = Profile(text=" amid", top_k=1, context=STORY, at=((5, 6), (8,)))
    (answer,) = answers_by(ask, replace(LIMITS, certain=True)).to([request])
    assert isinstance(answer, Profiling), answer
    (call,) = seen
    assert call.sampling["prompt_logprob_token_ids"] == [[5, 6], [8]]
    assert call.sampling["prompt_logprob_start"] == len(call.tokens) - 1 - len(answer.tokens)
    assert (answer.logprobs, answer.argmax, answer.ids) == ((-2.0, -2.0), (7, 7), ())
    assert answer.top == ((-3.0, -4.0), (-5.0,))
    assert answer.rest[0] == pytest.approx(math.log(1 - math.exp(-3) - math.exp(-4)))


def test_rules_of_decoding_are_told_to_vllm(replay: Replay) -> None:
    seen: list[Call] = []

    def ask(calls: Sequence[Call], adapter: bool = True) -> list[Any]:
        seen.extend(calls)
        place = {9: SimpleNamespace(logprob=-1.0, rank=1)}
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=[9] * 4, logprobs=[place] * 4)])]

    answers = answers_by(ask, repetition_penalty=1.5, min_new_tokens=2, stop_strings=["###"], eos_token_id=[3, 2])
    (answer,) = answers.to([Generate(prompt=STORY, stop=("\n",), max_tokens=4)])
    assert isinstance(answer, Generation)
    sampling = seen[0].sampling
    assert {2, 3} <= set(sampling["stop_token_ids"])
    assert (sampling["repetition_penalty"], sampling["min_tokens"], sampling["max_tokens"]) == (1.5, 2, 4)
    assert {"\n", "###"} <= set(sampling["stop"])
    assert sampling["ignore_eos"] and sampling["temperature"] == 0.0
