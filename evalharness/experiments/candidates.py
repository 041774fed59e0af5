"""Train one candidate by its recipe, unless an identical one exists."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from evalharness.checkpoints.files import TRAINING
from evalharness.checkpoints.fingerprint import of_weights
from evalharness.data.sources import DataSource
from evalharness.json_text import parse_json
from evalharness.run.progress import ProgressListener
from evalharness.tasks.library import Library
from evalharness.training.data import TrainingSet, gather
from evalharness.training.loop import train
from evalharness.training.recipe import Recipe
from evalharness.training.trainer import Report


def make_candidate(
    recipe: Recipe, source: DataSource, listener: ProgressListener, library: Library | None = None
) -> Path:
    """Train a candidate unless one of the same recipe, base and rows exists; another candidate at its path is replaced.

    Raises UsageError if something other than a trained candidate is at its path.
    """
    examples = gather(recipe, library or Library(), source)
    if is_made(recipe, examples):
        out = Path(recipe.out)
        listener.phase(f"{out.name} is trained already")
        return out
    return replace_candidate(recipe, examples, listener.phase)


def is_made(recipe: Recipe, examples: TrainingSet) -> bool:
    """Return whether the candidate in the recipe's folder was made by this recipe, base and examples."""
    made_of = {
        "recipe": recipe.to_json(),
        "base_fingerprint": of_weights(Path(recipe.base)),
        "data": [examples.digest, examples.validation_source.get("digest")],
    }
    return _ingredients(Path(recipe.out)) == made_of


def replace_candidate(recipe: Recipe, examples: TrainingSet, report: Report) -> Path:
    """Remove another candidate from the recipe's folder, and train. Raises as `train` does."""
    out = Path(recipe.out)
    replaced = out.with_name(f".{out.name}.replaced")
    if _ingredients(out) is not None:
        _remove(replaced)
        out.rename(replaced)  # in one step, so that a kill never leaves half a candidate in its place
    _remove(replaced)
    return train(recipe, examples, report)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _ingredients(out: Path) -> dict[str, Any] | None:
    """Read the recipe, base and data of the candidate at `out`; None if there is none, so that `train` refuses to
    overwrite anything else.
    """
    try:
        facts = parse_json((out / TRAINING).read_bytes())
        data = [facts["data"]["digest"], facts["data"].get("validation", {}).get("digest")]
        return {"recipe": facts["recipe"], "base_fingerprint": facts["base_fingerprint"], "data": data}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
