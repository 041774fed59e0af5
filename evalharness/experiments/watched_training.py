"""Train a candidate, and measure during the training what it forgets of the suite that its recipe watches."""

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

LOOKS = 5  # number of looks without --watch-every


def train_watched(
    recipe: Recipe, examples: TrainingSet, report: Report, options: QuestionOptions, store: Path | None = None
) -> Path:
    """Train as `train` does, with the same weights bit by bit, and measure forgetting meanwhile.

    `options`: where the rows of `recipe.watch` are. `store`: keeps the base's answers. Raises as `train` and
    `ForgettingCallback` do, before the first step.
    """

    def attach(start: StartingPoint, loaded: LoadedModel, trainer: Trainer) -> None:
        if not recipe.watch:
            return
        question_options: QuestionOptions = {**options, "target": recipe.target or None, "limit": recipe.watch_limit}
        ForgettingCallback(
            recipe.watch,
            every=recipe.watch_every or math.ceil(trainer.args.max_steps / LOOKS),
            base=_base(recipe, start),
            tokenizer=loaded.tokenizer,
            store=store,
            **question_options,
        ).attach(trainer)

    return train(recipe, examples, report, attach)


def _base(recipe: Recipe, start: StartingPoint) -> str | None:
    """Return the path of the base that answers first; None if the base is quantised in memory, so that the model itself
    answers with its adapter off.
    """
    quantised = start.weights.precision or recipe.method == Method.QLORA
    return None if quantised else str(start.base.path)
