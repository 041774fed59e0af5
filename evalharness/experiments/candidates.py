"""Make one candidate by its recipe, unless the very same is there already."""

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
    """Train, unless the very candidate is there already: same recipe, same base, same rows. An older one is replaced.

    Raises UsageError where something lies in its place that is no trained candidate.
    """
    examples = gather(recipe, library or Library(), source)
    if is_made(recipe, examples):
        out = Path(recipe.out)
        listener.phase(f"{out.name} is trained already")
        return out
    return replace_candidate(recipe, examples, listener.phase)


def is_made(recipe: Recipe, examples: TrainingSet) -> bool:
    """Tell whether the candidate that lies in its place was made by this recipe, of this base, on these examples."""
    made_of = {
        "recipe": recipe.to_json(),
        "base_fingerprint": of_weights(Path(recipe.base)),
        "data": [examples.digest, examples.validation_source.get("digest")],
    }
    return _ingredients(Path(recipe.out)) == made_of


def replace_candidate(recipe: Recipe, examples: TrainingSet, report: Report) -> Path:
    """Train, after another candidate was removed that lies in its place. Raises as `train` does."""
    out = Path(recipe.out)
    replaced = out.with_name(f".{out.name}.replaced")
    if _ingredients(out) is not None:
        _remove(replaced)
        out.rename(replaced)  # whole, so that a kill leaves nothing in its place that is not known to be a candidate
    _remove(replaced)
    return train(recipe, examples, report)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _ingredients(out: Path) -> dict[str, Any] | None:
    """Read what the candidate at `out` was made of; None where there is none, so that `train` refuses to overwrite
    anything else.
    """
    try:
        facts = parse_json((out / TRAINING).read_bytes())
        data = [facts["data"]["digest"], facts["data"].get("validation", {}).get("digest")]
        return {"recipe": facts["recipe"], "base_fingerprint": facts["base_fingerprint"], "data": data}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
