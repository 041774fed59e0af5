"""The zoo of tiny checkpoints, questions about nothing, and the two oracles: lm-eval's HFLM and peft's own forward of
one row.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import PeftModel
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.engine import HFEngine
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Rank, Request, Response


@pytest.fixture(scope="session")
def engine(zoo: dict[str, Path]) -> Callable[..., HFEngine]:
    """Opens an engine by the zoo's name, or by path."""

    def open_engine(name: str | Path, **settings: object) -> HFEngine:
        checkpoint = recognise(str(zoo.get(name, name) if isinstance(name, str) else name))
        return FACTORY.open(checkpoint, EngineSettings(**{"device": "cpu", **settings}))

    return open_engine


@pytest.fixture(scope="session")
def ask() -> Callable[[HFEngine, Sequence[Request]], list[Response]]:
    """Answers in the order of the requests."""

    def answers(engine: HFEngine, requests: Sequence[Request]) -> list[Response]:
        by_name = {answer.request_id: answer for answer in engine.answer(requests)}
        return [by_name[request.id] for request in requests]

    return answers


@pytest.fixture(scope="session")
def words(tiny: ModuleType) -> Callable[[int, int], list[str]]:
    """`count` texts of 1 to `longest` words."""

    def texts(count: int, longest: int, seed: int = 0) -> list[str]:
        chance = random.Random(seed)
        return [" ".join(chance.choices(tiny.WORDS, k=chance.randint(1, longest))) for _ in range(count)]

    return texts


@pytest.fixture(scope="session")
def rankings(words: Callable[..., list[str]]) -> list[Rank]:
    """Choices of several tokens, of one token, of many lengths; and every odd way to end a context."""
    contexts, choices = words(10, 18), words(40, 4, seed=1)
    several = [
        Rank(pairs=tuple((context, " " + choice) for choice in choices[4 * i : 4 * i + 4]))
        for i, context in enumerate(contexts)
    ]
    letters = [
        Rank(pairs=tuple((context + " Answer :", f" {letter}") for letter in "ABCD")) for context in contexts[:4]
    ]
    odd = [
        ("", "the cat"),
        ("a cat  ", "sat"),
        ("what is it ?\n\n", "yes"),
        ("naïve \u65e5\u672c \U0001f600", " never é"),
        ("<s>the cat", " sat"),
        ("<|im_end|>the cat", " sat"),
        (" the", "  dog"),
    ]
    return [*several, *letters, Rank(pairs=tuple(odd))]


@pytest.fixture(scope="session")
def generations(words: Callable[..., list[str]]) -> list[Generate]:
    """Texts that end as in lm-eval."""
    stop = ("\n", " th", "e ")
    return [Generate(prompt=prompt, stop=stop, max_tokens=14, stop_at_once=True) for prompt in words(12, 20, seed=2)]


class Oracle:
    """lm-eval's own HFLM on the CPU in float32, through its Instance API."""

    def __init__(self, base: Path, adapter: Path | None, batch_size: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = HFLM(
                pretrained=str(base),
                peft=str(adapter) if adapter else None,
                device="cpu",
                dtype="float32",
                batch_size=batch_size,
            )

    def _run(self, kind: str, arguments: Sequence[tuple]) -> list:
        instances = [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(self.model, kind)(instances, disable_tqdm=True)

    def rank(self, request: Rank) -> list[tuple[float, bool]]:
        return self._run("loglikelihood", request.pairs)

    def score(self, text: str) -> float:
        return self._run("loglikelihood_rolling", [(text,)])[0]

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        return self._run(
            "generate_until", [(r.prompt, {"until": list(r.stop), "max_gen_toks": r.max_tokens}) for r in requests]
        )


@pytest.fixture(scope="session")
def oracle(zoo: dict[str, Path]) -> Callable[[str, int], Oracle]:
    def build(name: str, batch_size: int) -> Oracle:
        base = name.partition("-")[0]
        return Oracle(zoo[base], zoo[name] if name != base else None, batch_size)

    return build


@pytest.fixture(scope="session")
def peft_model(zoo: dict[str, Path]) -> Callable[[str], PeftModel]:
    """The adapter as peft itself loads it onto its base."""

    def load(name: str) -> PeftModel:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            base = AutoModelForCausalLM.from_pretrained(zoo[name.partition("-")[0]], dtype=torch.float32)
            return PeftModel.from_pretrained(base, str(zoo[name])).eval()

    return load
