"""A real instruct model writes a summary of ordinary dialogues: EVALHARNESS_REAL_MODEL names its directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalharness.checkpoints.recognise import recognise
from evalharness.data.sources import DataSource
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generation
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.turns import Chat

MODEL = os.environ.get("EVALHARNESS_REAL_MODEL")
ROWS = Path(__file__).parents[1] / "fixtures" / "dialogues.jsonl"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MODEL is None, reason="EVALHARNESS_REAL_MODEL names no instruct model (SmolLM2-135M-Instruct)"),
]


@pytest.mark.parametrize("by_template", [False, True])
@pytest.mark.parametrize("name", ["dialogsum", "samsum"])
def test_a_real_instruct_model_writes_something(name: str, by_template: bool) -> None:
    """Begun with line breaks, too: 20 dialogues, at least 18 texts."""
    checkpoint = recognise(str(MODEL))
    renderer = FACTORY.chat_renderer(checkpoint) if by_template else None
    settings = PromptSettings(chat=Chat(renderer, True) if renderer else None)
    requests = prepare(Library().task(name), DataSource(None, {name: ROWS}), settings).requests
    engine = FACTORY.open(checkpoint, EngineSettings())
    answers = list(engine.answer(requests))
    engine.close()
    texts = [answer.text for answer in answers if isinstance(answer, Generation) and answer.text.strip()]
    assert len(requests) == 20 and len(texts) >= 18
