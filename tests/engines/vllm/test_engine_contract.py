"""The contract of every engine, held against a vLLM where one is installed that can open the tiny base."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import lora, make_adapter

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import Engine, factory_of
from evalharness.engines.vllm import environment
from evalharness.engines.vllm.profiles import FIRST_RUNNER
from evalharness.errors import EvalHarnessError
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Generate, Profile, Rank, Score
from evalharness.testing.engine_contract import EngineCase, EngineContract

BASE = Path(__file__).resolve().parents[3] / "fixtures" / "models" / "tiny-base"


def why_not() -> str:
    """Why no vLLM computes here; "" where one does."""
    try:
        environment.device_for(environment.installed_vllm(), "auto")
    except EvalHarnessError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


class VllmContract(EngineContract):
    """Numbers as the engine hf gives them in float32 on a CPU, in bfloat16 on a GPU."""

    answers = (Rank, Generate, Score, Profile)

    @pytest.fixture
    def settings(self) -> EngineSettings:
        on_cpu = environment.installed_vllm().for_cpu
        return EngineSettings(name="vllm", dtype="float32" if on_cpu else "bfloat16")

    @pytest.fixture
    def reference(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineCase:
        hf = EngineSettings(name="hf", dtype=settings.dtype)
        return EngineCase(factory=factory_of(hf), checkpoint=checkpoint, settings=hf)

    def test_a_profile_gives_the_tokens_asked_for(self, engine: Engine) -> None:
        if environment.installed_vllm().for_cpu:
            pytest.skip(FIRST_RUNNER)
        super().test_a_profile_gives_the_tokens_asked_for(engine)


class TestBase(VllmContract):
    @pytest.fixture
    def checkpoint(self) -> Checkpoint:
        return recognise(str(BASE), role="base")


class TestLora(VllmContract):
    @pytest.fixture(scope="class")
    def adapter(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make_adapter(BASE, tmp_path_factory.mktemp("adapters") / "lora", lora())

    @pytest.fixture
    def checkpoint(self, adapter: Path) -> Checkpoint:
        return recognise(str(adapter), base=str(BASE))
