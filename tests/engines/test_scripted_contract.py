"""The contract of engines, held against a script: what a file says is answered as a model's answers are."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_engine import toy_checkpoint

from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.testing.engine_contract import EngineContract

LINES = (
    '{"prompt": "Name a colour:", "text": " red and\\n green"}\n{"text": " yes, it is so", "choice": 0, "nats": 1.5}\n'
)


class TestScripted(EngineContract):
    language_model = False

    @pytest.fixture
    def settings(self, tmp_path: Path) -> EngineSettings:
        (tmp_path / "answers.jsonl").write_text(LINES)
        return EngineSettings(name="scripted", options={"answers": str(tmp_path / "answers.jsonl")})

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Checkpoint:
        return toy_checkpoint(tmp_path / "model", adapter="")
