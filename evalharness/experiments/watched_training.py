"""Train a candidate, and where its recipe names a suite to watch, measure on the way what it forgets of it."""

from __future__ import annotations

import math
from pathlib import Path

from transformers import Trainer

from evalharness.checkpoints.load import LoadedModel
from evalharness.experiments.callback import ForgettingCallback
from evalharness.records.job_options import QuestionOptions
from evalharness.records.models import Method
from evalharness.training.data import TrainingSet
from evalharness.training.loop import train
from evalharness.training.recipe import Recipe
from evalharness.training.start import StartingPoint
from evalharness.training.trainer import Report

LOOKS = 5  # at a training for which no --watch-every is given


def train_watched(
    recipe: Recipe, examples: TrainingSet, report: Report, options: QuestionOptions, store: Path | None = None
) -> Path:
    """Train as `train` does, with the same weights bit by bit: `options` say where the rows of `recipe.watch` lie,
    `store` where the base's answers are kept. Raises as `train` and `ForgettingCallback` do, before the first step.
    """

    def attach(start: StartingPoint, loaded: LoadedModel, trainer: Trainer) -> None:
        if not recipe.watch:
            return
        asked: QuestionOptions = {**options, "target": recipe.target or None, "limit": recipe.watch_limit}
        ForgettingCallback(
            recipe.watch,
            every=recipe.watch_every or math.ceil(trainer.args.max_steps / LOOKS),
            base=_base(recipe, start),
            tokenizer=loaded.tokenizer,
            store=store,
            **asked,
        ).attach(trainer)

    return train(recipe, examples, report, attach)


def _base(recipe: Recipe, start: StartingPoint) -> str | None:
    """Find whose answers come first: the base's on disk, but where it is quantised in memory the model's own, its
    adapter off.
    """
    quantised = start.weights.precision or recipe.method == Method.QLORA
    return None if quantised else str(start.base.path)
