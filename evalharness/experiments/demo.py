"""Train the demo's candidates on the embedded world (fixtures/demo/recipes.json), evaluate them, and write a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.checkpoints.files import TRAINING
from evalharness.checkpoints.fingerprint import of_weights
from evalharness.data.sources import DataSource
from evalharness.errors import DataError
from evalharness.json_text import parse_json
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.run.evaluation import evaluate
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.tasks.library import Library
from evalharness.training.data import gather
from evalharness.training.loop import train
from evalharness.training.recipe import Recipe

SUITE = "demo"
RECIPES = "recipes.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which candidates the demo trains. `fields`: candidate -> fields of its Recipe (not base, out, target, seed)."""

    target: str
    fields: Mapping[str, Mapping[str, Any]]

    def recipe(self, name: str, base: Path, out: Path, seed: int) -> Recipe:
        own = {"base": str(base), "out": str(out), "target": self.target, "seed": seed}
        return Recipe.from_fields({**self.fields[name], **own})


def plan() -> Plan:
    """Read the shipped plan. Raises DataError where the file is not one."""
    path = shipped("fixtures/demo") / RECIPES
    try:
        document = json.loads(path.read_text())
        return Plan(target=document["target"], fields=document["candidates"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, f"not the demo's recipes ({error})", "install evalharness again") from error


def base() -> Path:
    """Locate the embedded base checkpoint."""
    return shipped("fixtures/models") / "tiny-base"


def world() -> DataSource:
    """Locate the rows of the embedded world."""
    return DataSource(shipped=shipped("fixtures/world/rows"))


def make_candidate(
    recipe: Recipe, source: DataSource, listener: ProgressListener, library: Library | None = None
) -> Path:
    """Train, unless the very candidate is there already: same recipe, same base, same rows. An older one is replaced.

    Raises UsageError where something lies in its place that is no trained candidate.
    """
    out, examples = Path(recipe.out), gather(recipe, library or Library(), source)
    existing, data = _ingredients(out), [examples.digest, examples.validation_source.get("digest")]
    if existing == {"recipe": recipe.to_json(), "base_fingerprint": of_weights(Path(recipe.base)), "data": data}:
        listener.phase(f"{out.name} is trained already")
        return out
    replaced = out.with_name(f".{out.name}.replaced")
    if existing is not None:
        _remove(replaced)
        out.rename(replaced)  # whole, so that a kill leaves nothing in its place that is not known to be a candidate
    _remove(replaced)
    return train(recipe, examples, listener.phase)


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


def run_demo(
    folder: Path,
    seed: int = 1234,
    listener: ProgressListener | None = None,
    limit: int | None = None,
    chosen: Plan | None = None,
) -> Results:
    """Train the candidates into `folder`/candidates, evaluate them on the demo suite's test rows, and leave the report
    in `folder`.

    `limit`: at most so many rows a task; `chosen`: other candidates than the shipped plan's. Interrupted, a second call
    goes on where the first one was.
    """
    listener, chosen = listener or SilentListener(), chosen or plan()
    candidates = []
    for name in chosen.fields:
        listener.phase(f"training {name}")
        recipe = chosen.recipe(name, base(), folder / "candidates" / name, seed)
        candidates.append(make_candidate(recipe, world(), listener))
    job = make_job(
        candidates,
        SUITE,
        base=base(),
        target=chosen.target,
        limit=limit,
        out=folder,
        store=folder / "store.sqlite",
        seed=seed,
        explain=True,
    )
    results = evaluate(job, listener)
    write(folder)
    return results
