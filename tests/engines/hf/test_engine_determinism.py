"""The same numbers whatever batch sizes, orders and threads, and bit for bit where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Generation, Rank, Ranking, Request

WORDS = "the cat sat on a mat and a dog ran over Question what is it yes no".split()
STRICT = EngineSettings(device="cpu", strict=True)


def requests(count: int = 10) -> list[Request]:
    """Rankings and generations of many lengths, drawn from few words."""
    rng = np.random.default_rng(5)
    asked: list[Request] = []
    for index in range(count):
        context = " ".join(rng.choice(WORDS, 2 + 2 * index))
        asked.append(Rank(pairs=((context, " yes"), (context, " no"), (context, " the cat sat"))))
        asked.append(Generate(prompt=context, stop=("\n",), max_tokens=6))
    return asked


def answers(path: Path, settings: EngineSettings, asked: Sequence[Request], threads: int = 1) -> dict[str, object]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        engine = FACTORY.open(recognise(str(path)), settings)
        read = {
            answer.request_id: answer.logprobs if isinstance(answer, Ranking) else answer.text
            for answer in engine.answer(asked)
            if isinstance(answer, Ranking | Generation)
        }
        engine.close()
        assert torch.get_num_threads() == threads
        return read
    finally:
        torch.set_num_threads(before)


@pytest.mark.fault(30)
@pytest.mark.parametrize("name", ["llama-lora", "gpt2-prompt"])
def test_strict_gives_the_same_bits_whatever_else_is_asked(name: str, zoo: dict[str, Path]) -> None:
    questions = requests()
    reference = answers(zoo[name], STRICT, questions)
    assert len(reference) == len(questions)
    assert answers(zoo[name], replace(STRICT, batch_size=7), questions[::-1], threads=2) == reference
    few = answers(zoo[name], STRICT, questions[3:9])
    assert few == {request.id: reference[request.id] for request in questions[3:9]}


@pytest.mark.fault(31)
@pytest.mark.parametrize("name", ["llama-lora", "gpt2-prompt"])
def test_batches_orders_and_threads_move_nothing_beyond_the_tolerance(
    name: str, zoo: dict[str, Path], record_property: Callable[[str, object], None]
) -> None:
    questions = requests()
    settings = EngineSettings(device="cpu")
    reference = answers(zoo[name], settings, questions)
    others = [
        answers(zoo[name], replace(settings, batch_size=1), questions),
        answers(zoo[name], replace(settings, batch_size=4), questions[::-1]),
        answers(zoo[name], settings, questions, threads=2),
    ]
    record_property("injected", len(others))
    tie = FACTORY.describe(recognise(str(zoo[name])), settings).near_tie
    for other in others:
        for request, expected in reference.items():
            if isinstance(expected, str):
                assert other[request] == expected
                continue
            np.testing.assert_allclose(other[request], expected, atol=1e-4)
            best, second = np.sort(expected)[:-3:-1]
            assert int(np.argmax(other[request])) == int(np.argmax(expected)) or best - second < tie


def test_strict_is_another_engine_and_gives_threads_back(zoo: dict[str, Path]) -> None:
    checkpoint = recognise(str(zoo["llama"]))
    strict, plain = (FACTORY.describe(checkpoint, settings) for settings in (STRICT, replace(STRICT, strict=False)))
    assert strict.fingerprint != plain.fingerprint
    assert (strict.details["threads"], strict.details["batch_size"], strict.details["strict"]) == (1, 1, True)
    assert strict.fingerprint == FACTORY.describe(checkpoint, replace(STRICT, batch_size=3)).fingerprint
    engine = FACTORY.open(checkpoint, STRICT)
    assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
    engine.close()
    assert not torch.are_deterministic_algorithms_enabled()
