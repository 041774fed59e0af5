"""Save, find and load the states of a running training."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

TRAINED = "trained.safetensors"
SAVE_SECONDS, SAVE_SHARE = 300.0, 0.02  # without --save-every: the interval, and the most share of the time


class SaveClock:
    """Decides when the next state should be saved, if --save-every does not say."""

    def __init__(self) -> None:
        self.due = time.monotonic() + SAVE_SECONDS

    def saved(self, seconds: float) -> None:
        """Record that a state was saved, and how long that took."""
        self.due = time.monotonic() + max(SAVE_SECONDS, seconds / SAVE_SHARE)

    @property
    def is_due(self) -> bool:
        """Return whether the next state should be saved now."""
        return time.monotonic() >= self.due


def save_trained(model: nn.Module, path: Path) -> None:
    """Save the trained parameters by name, as a whole file or not at all."""
    tensors = {name: each.detach().contiguous() for name, each in model.named_parameters() if each.requires_grad}
    save_file(tensors, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


@torch.no_grad()
def load_trained(model: nn.Module, path: Path) -> None:
    """Load the parameters that `save_trained` saved into the same model."""
    tensors = load_file(path)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(tensors[name])


def last_saved(folder: Path) -> str | None:
    """Find the newest complete state, in which the Trainer's own state, written last, exists."""
    steps = {
        int(step): os.fspath(path)
        for path in folder.glob("checkpoint-*")
        if (step := path.name.rpartition("-")[2]).isdigit() and _is_complete(path / "trainer_state.json")
    }
    return steps[max(steps)] if steps else None


def step_of(state: str) -> int:
    """Return the step after which a state was saved."""
    return int(state.rpartition("-")[2])


def resume_note(folder: Path) -> str:
    """Return a note on where an interrupted training goes on."""
    state = last_saved(folder)
    if state is None:
        return "No step of the training was saved yet: the same command begins it anew."
    return f"The training is kept as it was after step {step_of(state)}: the same command goes on from there."


def _is_complete(path: Path) -> bool:
    try:
        return path.read_text().rstrip().endswith("}")
    except OSError:
        return False
