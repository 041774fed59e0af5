"""The fake engine counts, answers by name, and can be proved."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalharness.engines.adapter_check import prove
from evalharness.engines.base import check_options
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Score, Scoring


def checkpoint(name: str, kind: str = "base") -> Checkpoint:
    return Checkpoint(name, kind, Path(name), None, "f" * 64, 10, 0, 40, None, adapter={"lora": "LORA"}.get(kind, ""))


def echo(request):
    return Generation(request.id, request.prompt.upper(), "eos", 1)


def silent(request):
    return Failure(request.id, "will not")


def test_counts_and_answers_by_name():
    factory = ScriptedFactory(echo, {"shy": silent})
    request = Generate("hello", (), 3)
    loud, shy = (factory.open(checkpoint(name), EngineSettings()) for name in ("loud", "shy"))
    assert [answer.text for answer in loud.answer([request, request])] == ["HELLO", "HELLO"]
    assert next(shy.answer([request])) == Failure(request.id, "will not")
    assert factory.opened == ["loud", "shy"]
    assert [name for name, _ in factory.asked] == ["loud", "loud", "shy"]
    assert loud.info == factory.describe(checkpoint("loud"), EngineSettings())
    assert factory.token_counter(checkpoint("loud"))("two words") == 2


def test_only_adapters_move_its_logits():
    factory = ScriptedFactory(echo)
    for kind, moved in (("base", 0.0), ("full", 0.0), ("lora", 7.0)):
        model = checkpoint("x", kind)
        assert prove(factory.open(model, EngineSettings()), model, ["a", "bc"], allow_noop=False).scoring == moved
    with pytest.raises(ModelError, match="changes no logit"):
        prove(factory.open(checkpoint("x"), EngineSettings()), checkpoint("x", "lora"), ["a"], allow_noop=False)


def test_an_option_that_an_engine_does_not_have() -> None:
    settings = EngineSettings("loud", options={"sufix": "!"})
    check_options(EngineSettings("loud", options={"suffix": "!"}), ("suffix",))
    with pytest.raises(UsageError, match="--engine-option: the engine loud has no option 'sufix'; did you mean suffix"):
        check_options(settings, ("suffix",))
    with pytest.raises(UsageError, match="no option 'sufix'; leave it out: it has none"):
        check_options(settings, ())


def test_answers_texts_as_it_does_anything_else():
    factory = ScriptedFactory(lambda request: Scoring(request.id, -2.0 * len(request.text), len(request.text)))
    engine = factory.open(checkpoint("x"), EngineSettings())
    assert list(engine.answer([Score("ab"), Score("")])) == [
        Scoring(Score("ab").id, -4.0, 2),
        Scoring(Score("").id, 0.0, 0),
    ]
