"""A kill of a real training; kill_training.py does more."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.kill_training import METHODS, soak


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    outcome = soak(tmp_path, kills=1, seed=3, methods=("lora",))
    assert outcome.kills == 1 and outcome.completions >= 1


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    outcome = soak(tmp_path, kills=20, seed=0)
    assert outcome.kills == 20 and outcome.with_states > 0 and outcome.completions >= len(METHODS)
