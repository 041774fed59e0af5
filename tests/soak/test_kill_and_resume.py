"""A few kills of the whole road with a real model; `make soak` does fifty."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.kill_and_resume import soak


def test_a_killed_run_loses_nothing_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    outcome = soak(tmp_path, kills=2, seed=9)
    assert outcome.kills == 2
    assert outcome.completions >= 1


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    assert soak(tmp_path, kills=50, seed=0).kills == 50
