"""Select the rows that a sweep chooses on, which it neither reports on nor trains on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evalharness import results
from evalharness.data.grouping import KEYS
from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task
from evalharness.run.plan import RunPlan
from evalharness.tasks.templates import TemplateProblem, render

HELD_OUT = "held_out"  # the name of the split that is made for a task without one to choose on
SHARE, MOST, LEAST = 10, 500, 10  # a tenth of the training rows, at most MOST; fewer than LEAST choose nothing
SEED = 1234  # the same for all sweeps, so that sweeps of one task can be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows that a sweep chooses on.

    `splits`: task -> the split to choose on. `held_out`: task -> how many rows were held out of its training split, if
    that was needed. `absent`: tasks of which all rows are reported on. `source`: finds the rows of training and of
    choosing.
    """

    splits: Mapping[str, str]
    source: DataSource
    held_out: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def run_plan(self, run_plan: RunPlan) -> RunPlan:
        """Return the plan with the rows to choose on, without the tasks that have none."""
        tasks = tuple(
            replace(task, evaluation_split=self.splits[task.name])
            for task in run_plan.tasks
            if task.name in self.splits
        )
        return replace(run_plan, tasks=tasks, source=self.source, split=None)

    def notices(self) -> list[str]:
        """Return notices about the rows to choose on."""
        notices = [f"{task}: {n} of its training rows are held out to choose on" for task, n in self.held_out.items()]
        if self.absent:
            notices.append(f"not measured while choosing, because they have no other rows: {', '.join(self.absent)}")
        return notices


def selection_of(run_plan: RunPlan, target: Task, trained: Collection[str], folder: Path) -> Selection:
    """Select the rows to choose on: the validation split of each task, else rows held out of its training split.

    `trained`: the tasks whose training rows are used. The rows held out, and the rows that remain for training, are
    written to `folder`/<task>. Raises DataError if no rows remain to choose the target on.
    """
    splits: dict[str, str] = {}
    held_out: dict[str, int] = {}
    overrides = dict(run_plan.source.overrides)
    absent = []
    for task in run_plan.tasks:
        reported = run_plan.split or task.evaluation_split
        validation = task.validation_split
        if validation and validation != reported and missing([task], run_plan.source, validation) is None:
            splits[task.name] = validation
            continue
        place = folder / results.file_name(task.name)
        number = _hold_out(task, run_plan.source, place, task.name in trained, reported)
        if number:
            splits[task.name], held_out[task.name], overrides[task.name] = HELD_OUT, number, place
        elif task.name == target.name:
            what = f"there are no rows to choose on: it is reported on its split {reported!r}"
            fix = f"a validation split of its own, or a training split of {SHARE * LEAST} rows or more"
            raise DataError(target.name, what, fix)
        else:
            absent.append(task.name)
    return Selection(
        splits=splits, source=replace(run_plan.source, overrides=overrides), held_out=held_out, absent=tuple(absent)
    )


def _hold_out(task: Task, source: DataSource, place: Path, trained: bool, reported: str) -> int:
    """Write the task's splits with rows held out, and return how many; 0 if none can be held out."""
    training = task.training_split
    if (
        training is None
        or training == reported
        or task.dataset_kwargs.get("field")
        or missing([task], source, training) is not None
    ):
        return 0
    rows = read_rows(task, training, source).rows
    indices = _draw_indices(task, rows)
    if len(indices) < LEAST:
        return 0
    write_rows(place / f"{HELD_OUT}.jsonl", [row for index, row in enumerate(rows) if index in indices])
    if trained or task.fewshot_split == training:
        write_rows(place / f"{training}.jsonl", [row for index, row in enumerate(rows) if index not in indices])
    if task.fewshot_split not in (None, training) and missing([task], source, task.fewshot_split) is None:
        write_rows(place / f"{task.fewshot_split}.jsonl", read_rows(task, str(task.fewshot_split), source).rows)
    return len(indices)


def _draw_indices(task: Task, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Draw the indices of a seeded tenth of the rows, in whole units and whole groups of a reader."""
    units: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        units.setdefault(_unit(task, index, row), []).append(index)
    indices: set[int] = set()
    number, together = min(MOST, len(rows) // SHARE), list(units.values())
    for at in np.random.default_rng(SEED).permutation(len(together)):
        unit = together[at]
        if len(indices) + len(unit) <= number:
            indices.update(unit)
        if len(indices) == number:
            break
    return indices


def _unit(task: Task, index: int, row: Mapping[str, Any]) -> str:
    if task.reader in KEYS:
        return str(row.get(KEYS[task.reader]))
    try:
        return render(task.unit, row) if task.unit else str(index)
    except TemplateProblem:
        return str(index)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as JSON lines, unless the file has them already, so that a second call does not touch it."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        results.write_text(path, text)
