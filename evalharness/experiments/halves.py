"""Split the rows of every task into two random halves: one to choose on, the other to confirm on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalharness import fingerprint, results
from evalharness.analysis.overlap_words import words_of
from evalharness.data.files import DataRow
from evalharness.data.grouping import KEYS
from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.errors import DataError
from evalharness.experiments.selection import write_rows
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.requests import row_of
from evalharness.records.tasks import Task
from evalharness.run.plan import RunPlan
from evalharness.tasks.clusters import clusters
from evalharness.tasks.prepare import PromptSettings, prepare

HALF_A, HALF_B = "half_a", "half_b"  # names of the splits
SENTENCE = 3  # least words of a text that can identify a question
FEW = 10  # most units of a task with the same texts; texts of more units are an instruction
FIELD = "field"  # the key under which a task's files hold the rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """The two halves of the rows. `places`: task -> the folder with both halves of its rows. `rows_a`, `rows_b`: how
    many rows the halves of all tasks have together.
    """

    places: Mapping[str, Path]
    rows_a: int
    rows_b: int

    def job(self, job: Job, half: str) -> Job:
        """Return the job on one half: with its split and rows, whose columns have their final names."""
        return job_with(job, split=half, data={**job.data.overrides, **self.places}, columns={})


def halves_of(run_plan: RunPlan, trained: Collection[object], folder: Path, seed: int) -> Halves:
    """Write both halves of the rows of every task to `folder`/<task>.

    Beside them are the rows for few-shot examples (half A, if they come from the split that is halved), and for tasks
    in `trained` the training rows, which show the questions that were trained on. Raises DataError for a task whose
    rows cannot be halved.
    """
    places, counts = dict[str, Path](), [0, 0]
    for of_task, in_b in _halved(run_plan, seed):
        task, split, rows = of_task.task, of_task.split, of_task.rows
        place = folder / results.file_name(task.origin)
        for half, name in ((False, HALF_A), (True, HALF_B)):
            _write(task, place, name, [row for row, b in zip(rows, in_b, strict=True) if b == half])
            counts[half] += in_b.count(half)
        training = task.training_split if task.origin in trained else None
        for other in {task.fewshot_split, training} - {None}:
            if other == split != training:  # no row of half B may be a few-shot example
                _write(task, place, split, [row for row, b in zip(rows, in_b, strict=True) if not b])
            elif missing([task], run_plan.source, str(other)) is None:
                _write(task, place, str(other), read_rows(task, str(other), run_plan.source).rows)
        places[task.origin] = place
    return Halves(places=places, rows_a=counts[0], rows_b=counts[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskRows:
    """The rows of a task's split that are halved."""

    task: Task
    split: str
    rows: Sequence[DataRow]


def _halved(run_plan: RunPlan, seed: int) -> Iterator[tuple[_TaskRows, list[bool]]]:
    """Yield each task's rows, and which of them are in half B. Raises DataError if a half would be empty."""
    tasks = list[_TaskRows]()
    for task in run_plan.judged_tasks:
        split = run_plan.split or task.evaluation_split
        tasks.append(_TaskRows(task=task, split=split, rows=read_rows(task, split, run_plan.source).rows))
    links = [links_of(each.task, each.split, run_plan.source, each.rows) for each in tasks]
    contents = [[fingerprint.of_value(row) for row in each.rows] for each in tasks]
    for each, in_b in zip(tasks, draw_halves(links, contents, seed), strict=True):
        if not 0 < sum(in_b) < len(in_b):
            raise DataError(each.task.name, "all its rows are one unit, which has no halves", "leave it out")
        yield each, in_b


def links_of(task: Task, split: str, source: DataSource, rows: Sequence[DataRow]) -> list[tuple[Hashable, ...]]:
    """Return the links of each row to others: its unit, which rows of this task with the same question share, and its
    texts, which rows of other tasks may share. Raises DataError for a reader whose groups are not known.
    """
    settings = PromptSettings(num_fewshot=0, split=split)
    by_row = {row_of(each.id): each.unit for each in prepare(replace(task, metrics=()), source, settings).examples}
    if task.reader is not None and task.reader not in KEYS:
        raise DataError(task.name, f"which rows the reader {task.reader!r} joins is not known", "leave the task out")
    units = [by_row[at] if task.reader is None else str(row[KEYS[task.reader]]) for at, row in enumerate(rows)]
    texts = [_texts(row) for row in rows]
    shared = Counter(text for _, text in set(zip(units, texts, strict=True)))
    return [
        ((task.origin, unit), *([text] if shared[text] <= FEW else [])) for unit, text in zip(units, texts, strict=True)
    ]


def _texts(row: DataRow) -> Hashable:
    """Return the texts of a row, of any column, without short ones such as labels; the whole row if all are short. Rows
    of two tasks with the same texts ask the same question, if in other words.
    """
    values = list[Any](row.values())
    texts = list[tuple[str, ...]]()
    while values:
        value = values.pop()
        if isinstance(value, str):
            texts.append(words_of(value))
        elif isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, (list, tuple)):
            values += value
    long = frozenset(words for words in texts if len(words) >= SENTENCE)
    return long or fingerprint.of_value(row)


def draw_halves(
    links: Sequence[Sequence[Iterable[Hashable]]], contents: Sequence[Sequence[str]], seed: int
) -> list[list[bool]]:
    """Draw which rows of each task are in half B. Linked rows come into the same half; groups of linked rows are
    ordered by the seed and their contents, and each goes to the half with fewer rows of its tasks so far. The order of
    the rows does not matter.
    """
    places = [(task, row) for task, rows in enumerate(contents) for row in range(len(rows))]
    members: dict[int, list[tuple[int, int]]] = {}
    for place, head in zip(places, clusters([link for of_task in links for link in of_task]), strict=True):
        members.setdefault(head, []).append(place)
    keyed = [(min(contents[task][row] for task, row in rows), rows) for rows in members.values()]
    half, sizes = [[False] * len(rows) for rows in contents], [[0, 0] for _ in contents]
    for _, rows in sorted(keyed, key=lambda each: (fingerprint.of_value([seed, each[0]]), len(each[1]))):
        b = sum(sizes[task][1] - sizes[task][0] for task, _ in rows) < 0
        for task, row in rows:
            sizes[task][b] += 1
            half[task][row] = b
    return half


def _write(task: Task, place: Path, split: str, rows: Sequence[DataRow]) -> None:
    if key := task.dataset_kwargs.get(FIELD):
        results.write_text(place / f"{split}.json", json.dumps({key: list(rows)}, ensure_ascii=False) + "\n")
    else:
        write_rows(place / f"{split}.jsonl", rows)
