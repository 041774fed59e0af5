"""stages.json: what became of every task over ordered stages of training, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError
from evalharness.records.comparison import Estimate
from evalharness.results import RESULTS

STAGES, SCHEMA_VERSION = "stages.json", 1
NAMES = {
    "accuracy": "accuracy after the last stage (ACC)",
    "backward_transfer": "backward transfer (BWT)",
    "forward_transfer": "forward transfer (FWT)",
    "forgetting": "forgetting",
    "intransigence": "intransigence",
}
KINDS = {"learned": "tasks that were learned", "general": "general abilities", "all": "all tasks"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One task after one stage. `score` in the metric's natural unit; `difference` to the base, + is better; `verdict`
    of the run on that.

    `reference`: the model since which it is asked whether the task was forgotten, None at the stage that taught it;
    `since`: the difference to it;
    `retained`: the share of its skill over chance; `p_adjusted`: over all tasks and stages; `state`: the verdict by it.
    """

    stage: str
    n: int
    score: Estimate
    difference: Estimate
    verdict: str | None
    reference: str | None = None
    since: Estimate | None = None
    retained: Estimate | None = None
    p_forgotten: float | None = None
    p_adjusted: float | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One task, or group that is one gate unit. `learned`: the stage that taught it, counted from 1; 0: a general
    ability, known to the base.

    `kind`: of its metric; `scale`: what its scores are divided by in the measures, None where it is in none of them,
    for `reason`.
    `first`: the first stage, after the one that taught it, at which it is shown to be forgotten; `after`: what came
    then, a key of stagewords.AFTER.
    `untaught`: the first stage before it was taught at which what the base could do is shown to be forgotten.
    """

    name: str
    level: str
    metric: str
    kind: str
    higher_is_better: bool
    unit: bool
    margin: float | None
    chance: float
    learned: int
    base: Estimate
    cells: tuple[Cell, ...]
    joint: Estimate | None = None
    fresh: Estimate | None = None
    scale: float | None = None
    reason: str = ""
    first: str | None = None
    after: str | None = None
    untaught: str | None = None

    def at(self, stage: str | None) -> Cell | None:
        """What is known of it after a stage."""
        return next((cell for cell in self.cells if cell.stage == stage), None)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure over tasks of one kind (a key of KINDS). `tasks`: how many of them; `reason`: why there is no
    value.
    """

    over: str
    name: str
    tasks: int
    estimate: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stages:
    """All of stages.json. `learned`: what each stage was trained on; `tests`: in the family of the correction; `of`:
    digest of results.json.
    """

    base: str
    stages: tuple[str, ...]
    learned: Mapping[str, tuple[str, ...]]
    joint: str | None
    fresh: str | None
    alpha: float
    level: float
    tests: int
    rule: str
    scaled: bool
    columns: tuple[Column, ...]
    measures: tuple[Measure, ...]
    of: str


def to_json(stages: Stages) -> str:
    """The content of stages.json."""
    return (
        json.dumps({"schema_version": SCHEMA_VERSION, **asdict(stages)}, indent=1, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def read_stages(folder: Path) -> Stages | None:
    """The stages whose stages.json lies in a run's folder; None where there is none, or one of another run. Raises
    UsageError for another file.
    """
    path = folder / STAGES
    if not path.is_file():
        return None
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        if found.pop("schema_version") != SCHEMA_VERSION:
            raise UsageError(path, "stages of another version of evalharness", "give the command again")
        if found["of"] != fingerprint.of_file(folder / RESULTS):
            return None
        columns = tuple(_column(of) for of in found["columns"])
        measures = tuple(Measure(**{**of, "estimate": _estimate(of["estimate"])}) for of in found["measures"])
        learned = {stage: tuple(tasks) for stage, tasks in found["learned"].items()}
        return Stages(
            **{**found, "stages": tuple(found["stages"]), "learned": learned, "columns": columns, "measures": measures}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            path, f"not a stages.json of evalharness ({type(error).__name__}: {error})", "give the command again"
        ) from error


def _column(of: Mapping[str, Any]) -> Column:
    cells = (Cell(**{**cell, **_estimates(cell, "score", "difference", "since", "retained")}) for cell in of["cells"])
    return Column(**{**of, **_estimates(of, "base", "joint", "fresh"), "cells": tuple(cells)})


def _estimates(of: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: _estimate(of[key]) for key in keys}


def _estimate(of: Mapping[str, Any] | None) -> Estimate | None:
    return None if of is None else Estimate(**of)
