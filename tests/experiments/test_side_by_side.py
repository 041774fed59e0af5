"""Candidates that are trained side by side: the same weights as one after another, and what an error or an interrupt
leaves.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.errors import UsageError
from evalharness.experiments.demo import base, plan, world
from evalharness.experiments.side_by_side import make_candidates
from evalharness.interruption import signals_caught
from evalharness.training.output_lock import UnfinishedOutput
from evalharness.training.recipe import Recipe
from evalharness.training.states import last_saved

pytestmark = pytest.mark.slow  # processes that import torch


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def phase(self, text: str) -> None:
        self.lines.append(text)

    def notice(self, text: str) -> None:
        self.lines.append(text)

    def expect(self, requests: int) -> None: ...

    def advance(self, stored: int, computed: int) -> None: ...


def recipes(folder: Path, **steps: int) -> list[Recipe]:
    """Small trainings by name."""
    small = replace(plan().recipe("full-high", base(), folder, 1), batch_size=2)
    return [replace(small, out=str(folder / name), steps=number) for name, number in steps.items()]


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")}


def test_side_by_side_leaves_what_one_after_another_leaves_and_an_error_in_one_not_less(tmp_path):
    told = Told()
    (tmp_path / "two" / "taken").mkdir(parents=True)
    with pytest.raises(UsageError, match="taken exists already"):
        make_candidates(recipes(tmp_path / "two", taken=2, other=10), world(), told, processes=2)
    assert "taken could not be trained; kept: none yet" in told.lines
    assert any(line.startswith("other: step 10/10, loss") for line in told.lines)
    make_candidates(recipes(tmp_path / "one", other=10), world(), told, processes=1)
    assert weights(tmp_path / "two") == weights(tmp_path / "one") and len(weights(tmp_path / "one")) == 1
    make_candidates(recipes(tmp_path / "one", other=10), world(), told, processes=2)
    assert told.lines[-1] == "other is trained already"


def test_an_interrupt_ends_what_is_under_way_with_its_state_saved_and_leaves_what_is_complete(tmp_path):
    class Impatient(Told):
        def phase(self, text: str) -> None:
            if text.startswith("long: step") and weights(tmp_path):
                os.kill(os.getpid(), signal.SIGINT)

    with signals_caught(), pytest.raises(KeyboardInterrupt) as interrupted:
        make_candidates(recipes(tmp_path, short=1, long=3000), world(), Impatient(), processes=2)
    assert weights(tmp_path).keys() == {"short"}
    (note,) = interrupted.value.__notes__
    assert note.startswith("long: The training is kept as it was after step")
    assert last_saved(UnfinishedOutput(tmp_path / "long").states) is not None
