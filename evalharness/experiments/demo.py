"""Train the demo's candidates on the embedded world (fixtures/demo/recipes.json), evaluate them, and write a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.data.sources import DataSource
from evalharness.errors import DataError
from evalharness.experiments.side_by_side import make_candidates
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.run.evaluation import evaluate
from evalharness.run.progress import ProgressListener, SilentListener
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


def run_demo(
    folder: Path,
    seed: int = 1234,
    listener: ProgressListener | None = None,
    limit: int | None = None,
    chosen: Plan | None = None,
    processes: int | None = None,
) -> Results:
    """Train the candidates into `folder`/candidates, evaluate them on the demo suite's test rows, and leave the report
    in `folder`.

    `limit`: at most so many rows a task; `chosen`: other candidates than the shipped plan's; `processes`: trainings at
    a time (None: as many as cores and memory allow). Interrupted, a second call goes on where the first one was.
    """
    listener, chosen = listener or SilentListener(), chosen or plan()
    recipes = [chosen.recipe(name, base(), folder / "candidates" / name, seed) for name in chosen.fields]
    candidates = make_candidates(recipes, world(), listener, processes)
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
