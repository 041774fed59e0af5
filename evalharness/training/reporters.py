"""Make the callbacks of transformers' reporters (TensorBoard, W&B, …), and check their packages before the training."""

from __future__ import annotations

import os
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, TensorBoardCallback

from evalharness.errors import UsageError, did_you_mean, first_line
from evalharness.training.recipe import Recipe

TENSORBOARD, ITS_FOLDER = "tensorboard", "TENSORBOARD_LOGGING_DIR"


def reporters(recipe: Recipe) -> list[TrainerCallback]:
    """Make the callbacks that log; TensorBoard's writes into a folder beside the candidate (`OUT.tensorboard`). Raises
    UsageError for an unknown reporter, and if its package is not installed.
    """
    callbacks: list[TrainerCallback] = []
    for name in dict.fromkeys(recipe.report_to):
        if name not in INTEGRATION_TO_CALLBACK:
            raise UsageError("--report-to", f"unknown reporter {name!r}", did_you_mean(name, INTEGRATION_TO_CALLBACK))
        try:
            callback: TrainerCallback = INTEGRATION_TO_CALLBACK[name]()
        except (RuntimeError, ImportError) as error:
            fix = f"pip install {name.replace('_', '-')}, or leave it out"
            raise UsageError("--report-to", f"{name} cannot be used ({first_line(error)})", fix) from None
        if isinstance(callback, TensorBoardCallback) and not os.environ.get(ITS_FOLDER):
            callback.logging_dir = f"{Path(recipe.out)}.{TENSORBOARD}"
        callbacks.append(callback)
    return callbacks
