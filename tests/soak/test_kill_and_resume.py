"""A kill of the whole road with a real model; `make soak` does fifty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from soak.kill_and_resume import soak


@pytest.mark.fault(1)
@pytest.mark.fault(13)  # a system without memory ends a process by the same signal
def test_a_killed_run_loses_nothing_and_ends_with_the_same_bytes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("injected", 1)
    outcome = soak(tmp_path, kills=1, seed=9, tasks=("sst2",), limit=8)
    assert outcome.kills == 1
    assert outcome.completions >= 1


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(13)
def test_fifty_kills(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("injected", 50)
    assert soak(tmp_path, kills=50, seed=0).kills == 50
