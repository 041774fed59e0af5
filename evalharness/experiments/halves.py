"""Draw the rows of every task into two halves: one to choose on, the other to confirm on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness import fingerprint, results
from evalharness.data.files import DataRow
from evalharness.data.grouping import KEYS
from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.errors import DataError
from evalharness.experiments.selection import write_rows
from evalharness.records.job import Job
from evalharness.records.job_options import changed
from evalharness.records.requests import row_of
from evalharness.records.tasks import Task
from evalharness.run.plan import RunPlan
from evalharness.tasks.prepare import PromptSettings, prepare

HALF_A, HALF_B = "half_a", "half_b"  # names of the splits
FIELD = "field"  # of a task whose files hold the rows under a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """Where the halves of each task's rows lie, and how many rows each half of all tasks has."""

    places: Mapping[str, Path]
    rows_a: int
    rows_b: int

    def job(self, job: Job, half: str) -> Job:
        """The job on one half: an ordinary one, with a split and rows of its own, whose columns are named already."""
        return changed(job, split=half, data={**job.data.overrides, **self.places}, columns={})


def halves_of(run_plan: RunPlan, trained: Collection[object], folder: Path, seed: int) -> Halves:
    """Write both halves of the rows of every task to `folder`/<task>, with the rows that shots are drawn from (half A,
    where that is the split that is halved), and the training rows of the tasks in `trained`, by which it is seen which
    questions were trained on.

    Raises DataError for a task whose rows cannot be halved.
    """
    places, counts = dict[str, Path](), [0, 0]
    for task in run_plan.judged_tasks:
        split, place = run_plan.split or task.evaluation_split, folder / results.file_name(task.origin)
        rows = read_rows(task, split, run_plan.source).rows
        in_b = drawn(units_of(task, split, run_plan.source, rows), [fingerprint.of_value(row) for row in rows], seed)
        if not 0 < sum(in_b) < len(rows):
            raise DataError(task.name, "all its rows are one unit, which has no halves", "leave it out")
        for half, name in ((False, HALF_A), (True, HALF_B)):
            _write(task, place, name, [row for row, b in zip(rows, in_b, strict=True) if b == half])
            counts[half] += in_b.count(half)
        training = task.training_split if task.origin in trained else None
        for other in {task.fewshot_split, training} - {None}:
            if other == split != training:  # half B is shown to no model before it is asked
                _write(task, place, split, [row for row, b in zip(rows, in_b, strict=True) if not b])
            elif missing([task], run_plan.source, str(other)) is None:
                _write(task, place, str(other), read_rows(task, str(other), run_plan.source).rows)
        places[task.origin] = place
    return Halves(places=places, rows_a=counts[0], rows_b=counts[1])


def units_of(task: Task, split: str, source: DataSource, rows: Sequence[DataRow]) -> list[str]:
    """The unit of each row as it is read: rows that ask the same have one. Raises DataError for a reader whose groups
    are not known.
    """
    settings = PromptSettings(num_fewshot=0, split=split)
    by_row = {row_of(each.id): each.unit for each in prepare(replace(task, metrics=()), source, settings).examples}
    if task.reader is None:
        return [by_row[index] for index in range(len(rows))]
    if task.reader not in KEYS:
        raise DataError(task.name, f"which rows the reader {task.reader!r} joins is not known", "leave the task out")
    return [str(row[KEYS[task.reader]]) for row in rows]


def drawn(units: Sequence[str], contents: Sequence[str], seed: int) -> list[bool]:
    """Draw which rows are in half B: whole units, in an order that hangs on the seed and on what the rows hold, each to
    the half that has fewer rows by then. The order of the rows does not matter.
    """
    members: dict[str, list[int]] = {}
    for index, unit in enumerate(units):
        members.setdefault(unit, []).append(index)
    keys = {unit: min(contents[index] for index in rows) for unit, rows in members.items()}
    half, sizes = [False] * len(units), [0, 0]
    for unit in sorted(members, key=lambda unit: (fingerprint.of_value([seed, keys[unit]]), len(members[unit]))):
        b = sizes[1] < sizes[0]
        sizes[b] += len(members[unit])
        for index in members[unit]:
            half[index] = b
    return half


def _write(task: Task, place: Path, split: str, rows: Sequence[DataRow]) -> None:
    if key := task.dataset_kwargs.get(FIELD):
        results.write_text(place / f"{split}.json", json.dumps({key: list(rows)}, ensure_ascii=False) + "\n")
    else:
        write_rows(place / f"{split}.jsonl", rows)
