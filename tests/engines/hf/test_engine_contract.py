"""The contract of engines, held against this one: decoder-only, encoder-decoder, with a LoRA, with a soft prompt."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Generate, Profile, Rank, Score
from evalharness.testing.engine_contract import EngineCase, EngineContract

MODELS = Path(__file__).resolve().parents[3] / "fixtures" / "models"
CPU = EngineSettings(device="cpu")


def held_by_tensors() -> int:
    """Bytes of all tensors that are alive."""
    gc.collect()
    alive = {each.data_ptr(): each.nbytes for each in gc.get_objects() if type(each) in (torch.Tensor, PARAMETER)}
    return sum(alive.values())


PARAMETER = torch.nn.Parameter


class HFContract(EngineContract):
    answers = (Rank, Generate, Score, Profile)

    @pytest.fixture
    def settings(self) -> EngineSettings:
        return CPU

    @pytest.fixture
    def memory_in_use(self) -> Callable[[], int]:
        return held_by_tensors


class TestDecoderOnly(HFContract):
    @pytest.fixture
    def checkpoint(self) -> Checkpoint:
        return recognise(str(MODELS / "tiny-base"))

    @pytest.fixture
    def reference(self, checkpoint: Checkpoint) -> EngineCase:
        """The same by other batches, and every row alone."""
        return EngineCase(factory=FACTORY, checkpoint=checkpoint, settings=replace(CPU, strict=True))


class TestEncoderDecoder(HFContract):
    @pytest.fixture
    def checkpoint(self) -> Checkpoint:
        return recognise(str(MODELS / "tiny-base-seq2seq"))


class TestLora(HFContract):
    @pytest.fixture
    def checkpoint(self, zoo: dict[str, Path]) -> Checkpoint:
        return recognise(str(zoo["llama-lora"]))


class TestSoftPrompt(HFContract):
    @pytest.fixture
    def checkpoint(self, zoo: dict[str, Path]) -> Checkpoint:
        return recognise(str(zoo["qwen3-prompt"]))
