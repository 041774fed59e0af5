"""A real model behind the test server, against this machine's own engine: EVALHARNESS_REAL_MODEL names it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from openai_server import load, serving_models
from served_models import ask, served_at

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import factory_of
from evalharness.engines.hf.factory import FACTORY as HF
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Generation, Rank, Ranking, Request

MODEL = os.environ.get("EVALHARNESS_REAL_MODEL")
SETTINGS = EngineSettings(name="openai", options={"tokenizer": MODEL or "", "timeout": "600"})


@pytest.mark.slow
@pytest.mark.skipif(MODEL is None, reason="EVALHARNESS_REAL_MODEL names no model")
def test_a_real_model_is_answered_as_here(suite_requests: Sequence[Request]) -> None:
    assert MODEL is not None
    ranked = [request for request in suite_requests if isinstance(request, Rank)][:6]
    written = [request for request in suite_requests if isinstance(request, Generate)][:2]
    asked: list[Request] = [*ranked, *written]
    with serving_models({"real": load(Path(MODEL), window=2048)}) as server:
        engine = factory_of(SETTINGS).open(served_at(server.url, "real", window=2048), SETTINGS)
        served = ask(engine, asked)
        engine.close()
    local = HF.open(recognise(MODEL), EngineSettings(device="cpu"))
    here = ask(local, asked)
    local.close()
    for one, other in zip(served, here, strict=True):
        if isinstance(other, Ranking):
            assert isinstance(one, Ranking) and (one.tokens, one.greedy) == (other.tokens, other.greedy)
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        else:
            assert isinstance(one, Generation) and isinstance(other, Generation) and one.text == other.text
