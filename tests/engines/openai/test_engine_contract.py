"""The engine holds what `engines/base.py` promises, over a server of the tiny base; this machine's engine is its
reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_server import ModelServer, load, serving_models
from served_models import checkpoint_of

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY as HF
from evalharness.experiments.demo import base
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.testing.engine_contract import EngineCase, EngineContract


@pytest.fixture(scope="class")
def server() -> Iterator[ModelServer]:
    with serving_models({"base": load(base())}) as server:
        yield server


@pytest.mark.slow
class TestServed(EngineContract):
    repeat_tolerance = 1e-5  # nats: the order in which requests come is not always the same

    @pytest.fixture
    def settings(self) -> EngineSettings:
        return EngineSettings(name="openai", options={"tokenizer": str(base()), "wait": "0.001"})

    @pytest.fixture
    def checkpoint(self, server: ModelServer) -> Checkpoint:
        return checkpoint_of(server)

    @pytest.fixture
    def reference(self) -> EngineCase:
        settings = EngineSettings(device="cpu")
        return EngineCase(factory=HF, checkpoint=recognise(str(Path(base()))), settings=settings)
