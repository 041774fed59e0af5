"""Tabulate stages of training: scores by stage and task, continual-learning measures, and when tasks were forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Estimate, value_of
from evalharness.report import wording
from evalharness.report.stage_text import AFTER, places_of, short
from evalharness.report.stages import KINDS, NAMES, ContinualMeasure, Stages, StageScore, StageTask
from evalharness.report.text_table import TextTable, from_rows
from evalharness.stats.enums import Verdict


def tables(stages: Stages) -> list[TextTable]:
    """Return the terminal's tables: the matrix, the measures, and when each task was forgotten."""
    return [matrix_table(stages), measure_table(stages), task_table(stages)]


def _beside(stages: Stages) -> Iterator[tuple[str, str, str, list[Estimate | None]]]:
    """Yield the models that are no stages: name, key, words, and scores by task."""
    if stages.joint is not None:
        yield stages.joint, "joint", "trained on everything at once", [task.joint for task in stages.columns]
    if stages.fresh is not None:
        yield stages.fresh, "fresh", "learned nothing", [task.fresh for task in stages.columns]


def _score(task: StageTask, estimate: Estimate | None) -> str:
    return wording.plain(value_of(estimate), places_of(task))


def matrix_table(stages: Stages) -> TextTable:
    """Tabulate scores and their differences to the base, with ▼ where a task is forgotten.

    Stages are rows and tasks are columns, or the reverse if that is narrower.
    """
    tasks = stages.columns
    lines = [("", *(short(task.name) for task in tasks))]
    lines.append((short(stages.base), *(_score(task, task.base) for task in tasks)))
    lines += [
        (short(stage), *(_score_and_change(task, task.cells[number]) for task in tasks))
        for number, stage in enumerate(stages.stages)
    ]
    for name, key, _, estimates in _beside(stages):
        lines.append((f"{short(name)} ({key})", *map(_score, tasks, estimates)))
    if len(tasks) > len(lines):
        lines = list(zip(*lines, strict=True))
    note = (
        "scores, and differences to the base, + is better; "
        "▼: forgotten, corrected over all tasks and stages; *: learned here"
    )
    return TextTable(title="Stages and tasks", note=note, columns=lines[0], rows=tuple(lines[1:]))


def _score_and_change(task: StageTask, cell: StageScore) -> str:
    mark = "*" if learned_here(task, cell) else ""
    if cell.state == Verdict.FORGOTTEN:
        mark = wording.VERDICTS[Verdict.FORGOTTEN][0]
    return f"{_score(task, cell.score)} ({wording.signed(value_of(cell.difference), places_of(task))}){mark}"


def learned_here(task: StageTask, cell: StageScore) -> bool:
    """Return whether this stage taught the task."""
    return task.learned > 0 and task.cells[task.learned - 1] is cell


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCell:
    """One cell of the page's matrix, as texts. `mark`: a remark. `state`: the verdict that colours it, or ""."""

    score: str
    change: str = ""
    interval: str = ""
    mark: str = ""
    state: str = ""


def page_rows(stages: Stages) -> Iterator[tuple[str, str, tuple[StageCell, ...]]]:
    """Yield the rows of the page's matrix: model, its role in words, and a cell for each task."""
    tasks = stages.columns
    yield stages.base, "base", tuple(StageCell(score=_score(task, task.base)) for task in tasks)
    for number, stage in enumerate(stages.stages):
        yield stage, f"stage {number + 1}", tuple(_page_cell(task, task.cells[number]) for task in tasks)
    for name, _, words, estimates in _beside(stages):
        yield name, words, tuple(StageCell(score=_score(*of)) for of in zip(tasks, estimates, strict=True))


def _page_cell(task: StageTask, cell: StageScore) -> StageCell:
    mark = "learned here" if learned_here(task, cell) else ""
    if cell.state in (Verdict.FORGOTTEN, Verdict.RETAINED):
        mark = f"{wording.VERDICTS[cell.state][0]} {cell.state}"
    change = wording.score_change(task.base, cell.score, cell.difference, places_of(task))
    return StageCell(
        score=change.candidate, change=change.difference, interval=change.interval, mark=mark, state=cell.state or ""
    )


def measure_table(stages: Stages) -> TextTable:
    """Return a row for each measure, a column for each kind of tasks."""
    counts = {kind: max(of.tasks for of in stages.measures if of.over == kind) for kind in KINDS}
    by_key = {(measure.over, measure.name): measure for measure in stages.measures}
    places = wording.places_for([measure.estimate.value for measure in stages.measures if measure.estimate])
    rows = [
        {"": words}
        | {f"{KINDS[kind]} ({tasks})": _measured(by_key[kind, name], places) for kind, tasks in counts.items() if tasks}
        for name, words in NAMES.items()
    ]
    unit = "scores as shares of their scales" if stages.scaled else "in the unit of the scores"
    return from_rows("Measures", f"{coverage(stages.level)} intervals over questions; {unit}", rows)


def _measured(measure: ContinualMeasure, places: int) -> str:
    if measure.estimate is None:
        return f"{wording.NONE} ({measure.reason})"
    return wording.with_interval(measure.estimate, places, sign=measure.name != "accuracy")


def task_table(stages: Stages) -> TextTable:
    """Return a row for each task: the stage that taught it, when it was forgotten, and what is left after the last
    stage.
    """
    rows = []
    for task in stages.columns:
        last = task.cells[-1]
        lost = [f"{short(task.untaught)} (before it was taught)"] if task.untaught else []
        lost += [short(task.first)] if task.first else []
        row = {
            "": short(task.name),
            "known since": short(stages.stages[task.learned - 1] if task.learned else stages.base),
            "first forgotten at": "; ".join(lost) or wording.NONE,
            "then": AFTER[task.after] if task.after else wording.NONE,
            "at the last stage": wording.with_interval(last.since, places_of(task)),
            "skill retained": wording.plain(value_of(last.retained), 2),
        }
        rows.append(row)
    note = (
        "differences since the model that knew it; "
        f"forgotten: Holm over {stages.tests} tests of tasks and stages, α = {stages.alpha:g}"
    )
    return from_rows("Forgotten when", note, rows)
