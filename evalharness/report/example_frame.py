"""Make a table of the base's and the candidates' answers to the same examples, side by side, for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from evalharness.errors import UsageError, did_you_mean
from evalharness.records.comparison import Level
from evalharness.records.measurements import Sample
from evalharness.records.results import Results
from evalharness.results import read_samples

TEXTS = ("prompt", "reference", "base_output", "candidate_output")
COLUMNS = ("task", "candidate", "id", "change", *TEXTS, "base_score", "candidate_score")
SCORE = {True: "lost", False: "gained"}


def examples(
    folder: Path | None, results: Results, task: str, candidates: Sequence[str] = (), lost: bool = False
) -> pd.DataFrame:
    """Return the examples of a task, or of a group's tasks, as a table with a row for each example and candidate.

    Its column `change` is lost, gained or same; None if single examples have no score. `lost`: True: only examples that
    a candidate lost, the largest losses first. Raises UsageError for an unknown name, and if the samples are missing.
    """
    groups: Mapping[str, Sequence[str]] = results.signature.get("groups") or {}
    names = {row.task for row in results.comparisons if row.level == Level.TASK} | {*groups}
    if task not in names:
        raise UsageError("task", f"no task {task!r} in the run", did_you_mean(task, names))
    for name in candidates:
        if name not in results.candidates:
            raise UsageError("candidates", f"no candidate {name!r} in the run", did_you_mean(name, results.candidates))
    rows = list(_rows(folder, results, groups.get(task, (task,)), candidates)) if folder else []
    if not rows:
        what = f"no texts of {task} are beside these results"
        raise UsageError("examples", what, "load the folder that `run` or `evaluate` wrote, with its samples/")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if not lost:
        return table
    if table["base_score"].isna().all() or table["candidate_score"].isna().all():
        what = f"it is not known which examples of {task} were lost: they, or the base's, have no single scores here"
        raise UsageError("lost", what, "leave `lost` out to see all examples")
    lost_rows = table[table["change"] == SCORE[True]]
    order = (lost_rows["candidate_score"] - lost_rows["base_score"]).sort_values(kind="stable").index
    return lost_rows.loc[order].reset_index(drop=True)


def _rows(
    folder: Path, results: Results, tasks: Sequence[str], candidates: Sequence[str]
) -> Iterator[tuple[str | float | None, ...]]:
    """Yield a table row for each example of every task and candidate, in the order of the evaluation."""
    bases = {model.name: model.base for model in results.models}
    for task in tasks:
        for name in candidates or results.candidates:
            base = {sample.id: sample for sample in read_samples(folder, task, bases.get(name) or "")}
            for sample in read_samples(folder, task, name):
                yield _row(task, name, base.get(sample.id), sample)


def _row(task: str, name: str, base: Sample | None, sample: Sample) -> tuple[str | float | None, ...]:
    before, change = base.score if base else None, None
    if before is not None and sample.score is not None:
        change = "same" if before == sample.score else SCORE[sample.score < before]
    texts = (sample.prompt, sample.reference, base.output if base else None, sample.output)
    return task, name, sample.id, change, *texts, before, sample.score
