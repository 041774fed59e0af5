"""Stages to what a reader sees of them: sentences on what was forgotten when, the matrix of scores, the measures, and a
line for each task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalharness.records.comparison import Estimate, Level
from evalharness.report import wording
from evalharness.report.stages import KINDS, NAMES, Cell, Column, Measure, Stages
from evalharness.report.sweep import Table
from evalharness.stats.enums import MetricKind, Verdict

AFTER = {  # what became of a task after the first stage at which it was forgotten
    "last": "the last stage",
    "stays": "forgotten at every stage after it",
    "comes_back": "retained again at the last stage",
    "undecided": "not shown at every stage after it",
}
SHOWN = 40  # characters of a name
RESAMPLES = 10_000  # of a test that is not of counts


# ---- sentences -------------------------------------------------------------------------------------------------------


def sentences(stages: Stages) -> list[str]:
    """What was forgotten when, one sentence a task in the order of stages; then what was not shown to be."""
    place = {name: number for number, name in enumerate(stages.stages)}
    lost = [(column, name) for column in stages.columns for name in (column.untaught, column.first) if name is not None]
    said = [_forgotten(stages, column, name) for column, name in sorted(lost, key=lambda of: place[of[1]])]
    tested = [column for column in stages.columns if any(cell.state for cell in column.cells)]
    if kept := [column for column in tested if column.first is None and column.untaught is None]:
        whole = [column for column in kept if column.cells[-1].state == Verdict.RETAINED]
        said.append(f"Not shown to be forgotten at any stage: {_names(kept)}")
        if whole:
            said.append(f"Retained at the last stage: {_names(whole)}")
    if points := [column for column in stages.columns if not any(cell.state for cell in column.cells)]:
        said.append(f"Not tested (no stage but the one that taught it, or no test for its metric): {_names(points)}")
    return said


def _forgotten(stages: Stages, column: Column, stage: str) -> str:
    cell = column.at(stage)
    if cell is None or cell.since is None:
        return ""
    change = (
        f"{wording.signed(cell.since.value, _places(column))} since {wording.one_line(cell.reference or '', SHOWN)}"
    )
    when = f"{wording.one_line(column.name, SHOWN)} is forgotten at {wording.one_line(cell.stage, SHOWN)}"
    p = wording.p_value(cell.p_adjusted)
    then = AFTER[column.after or "last"]
    if stage == column.untaught:
        then = f"before {wording.one_line(stages.stages[column.learned - 1], SHOWN)} taught it"
    return f"{when} ({change}, adjusted p {p if p.startswith('<') else f'= {p}'}): {then}"


def _names(columns: Sequence[Column]) -> str:
    return wording.listed(wording.one_line(column.name, SHOWN) for column in columns)


# ---- tables ----------------------------------------------------------------------------------------------------------


def tables(stages: Stages) -> list[Table]:
    """The matrix, the measures, and what became of each task: what the terminal shows."""
    return [matrix_table(stages), measure_table(stages), task_table(stages)]


def matrix_table(stages: Stages) -> Table:
    """Scores with their differences to the base, ▼ where forgotten: stages down and tasks across, or the reverse where
    that is narrower.
    """
    lines = [("", *(wording.one_line(column.name, SHOWN) for column in stages.columns))]
    lines.append(
        (
            wording.one_line(stages.base, SHOWN),
            *(wording.plain(column.base.value, _places(column)) for column in stages.columns),
        )
    )
    for number, stage in enumerate(stages.stages):
        lines.append(
            (wording.one_line(stage, SHOWN), *(_cell(column, column.cells[number]) for column in stages.columns))
        )
    for name, key in ((stages.joint, "joint"), (stages.fresh, "fresh")):
        if name is not None:
            values = [getattr(column, key) for column in stages.columns]
            cells = (
                wording.plain(value and value.value, _places(column))
                for column, value in zip(stages.columns, values, strict=True)
            )
            lines.append((f"{wording.one_line(name, SHOWN)} ({key})", *cells))
    if len(stages.columns) > len(lines):
        lines = list(zip(*lines, strict=True))
    note = "scores, and differences to the base, + is better; ▼: forgotten, corrected over all tasks and stages; *: learned here"
    return Table("Stages and tasks", note, lines[0], tuple(lines[1:]))


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell of the page's matrix. `state`: a verdict that colours it, or empty; `mark`: what is to be said of it."""

    score: str
    change: str = ""
    interval: str = ""
    mark: str = ""
    state: str = ""


def page_rows(stages: Stages) -> Iterator[tuple[str, str, tuple[Shown, ...]]]:
    """The matrix as the page shows it: (model, what it is, a cell for each column)."""
    yield (
        stages.base,
        "base",
        tuple(Shown(wording.plain(column.base.value, _places(column))) for column in stages.columns),
    )
    for number, stage in enumerate(stages.stages):
        yield stage, f"stage {number + 1}", tuple(_shown(column, column.cells[number]) for column in stages.columns)
    for name, key, words in (
        (stages.joint, "joint", "trained on everything at once"),
        (stages.fresh, "fresh", "learned nothing"),
    ):
        if name is not None:
            found = [(column, getattr(column, key)) for column in stages.columns]
            yield (
                name,
                words,
                tuple(Shown(wording.plain(of.value if of else None, _places(column))) for column, of in found),
            )


def _shown(column: Column, cell: Cell) -> Shown:
    places = _places(column)
    glyph = wording.VERDICTS[cell.state][0] if cell.state else ""
    mark = (
        f"{glyph} {cell.state}"
        if cell.state in (Verdict.FORGOTTEN, Verdict.RETAINED)
        else "learned here"
        if learned_here(column, cell)
        else ""
    )
    change = wording.signed(cell.difference.value, places)
    return Shown(
        wording.plain(cell.score.value, places),
        change,
        wording.interval(cell.difference, places),
        mark,
        cell.state or "",
    )


def _cell(column: Column, cell: Cell) -> str:
    places = _places(column)
    mark = (
        wording.VERDICTS[Verdict.FORGOTTEN][0]
        if cell.state == Verdict.FORGOTTEN
        else "*"
        if learned_here(column, cell)
        else ""
    )
    return f"{wording.plain(cell.score.value, places)} ({wording.signed(cell.difference.value, places)}){mark}"


def learned_here(column: Column, cell: Cell) -> bool:
    """Is it the stage that taught the task?"""
    return column.learned > 0 and column.cells[column.learned - 1] is cell


def _places(column: Column) -> int:
    return wording.places_for([column.base.value, *(cell.score.value for cell in column.cells)])


def measure_table(stages: Stages) -> Table:
    """A row a measure, a column a kind of tasks."""
    kinds = [kind for kind in KINDS if any(measure.over == kind and measure.tasks for measure in stages.measures)]
    by_key = {(measure.over, measure.name): measure for measure in stages.measures}
    places = wording.places_for([measure.estimate.value for measure in stages.measures if measure.estimate])
    rows = []
    for name, words in NAMES.items():
        found = [by_key[kind, name] for kind in kinds]
        rows.append((words, *(_measured(measure, places) for measure in found)))
    counts = {kind: max(measure.tasks for measure in stages.measures if measure.over == kind) for kind in kinds}
    unit = "scores as shares of their scales" if stages.scaled else "in the unit of the scores"
    note = f"{100 * stages.level:.4g} % intervals over questions; {unit}"
    return Table("Measures", note, ("", *(f"{KINDS[kind]} ({counts[kind]})" for kind in kinds)), tuple(rows))


def _measured(measure: Measure, places: int) -> str:
    if measure.estimate is None:
        return f"{wording.NONE} ({measure.reason})"
    write = wording.plain if measure.name == "accuracy" else wording.signed
    return f"{write(measure.estimate.value, places)} {wording.interval(measure.estimate, places, measure.name != 'accuracy')}".strip()


def task_table(stages: Stages) -> Table:
    """A row a task: who taught it, when it was forgotten, and what is left of it after the last stage."""
    rows = []
    for column in stages.columns:
        last, places = column.cells[-1], _places(column)
        lost = [f"{wording.one_line(column.untaught, SHOWN)} (before it was taught)"] if column.untaught else []
        lost += [wording.one_line(column.first, SHOWN)] if column.first else []
        rows.append(
            (
                wording.one_line(column.name, SHOWN),
                wording.one_line(stages.stages[column.learned - 1] if column.learned else stages.base, SHOWN),
                "; ".join(lost) or wording.NONE,
                AFTER[column.after] if column.after else wording.NONE,
                _with_interval(last.since, places),
                wording.plain(last.retained.value if last.retained else None, 2),
            )
        )
    note = f"differences since the model that knew it; forgotten: Holm over {stages.tests} tests of tasks and stages, α = {stages.alpha:g}"
    return Table(
        "Forgotten when",
        note,
        ("", "known since", "first forgotten at", "then", "at the last stage", "skill retained"),
        tuple(rows),
    )


def _with_interval(estimate: Estimate | None, places: int) -> str:
    return (
        wording.NONE
        if estimate is None
        else f"{wording.signed(estimate.value, places)} {wording.interval(estimate, places)}".strip()
    )


def notes(stages: Stages) -> Iterator[str]:
    """What a reader should know of the measures."""
    yield stages.rule
    if any(measure.name == "forward_transfer" and measure.estimate for measure in stages.measures):
        yield f"Forward transfer is measured from the scores of {stages.fresh or f'the base ({stages.base})'}."
    resampled = any(
        column.unit and (column.kind, column.level) != (MetricKind.BINARY, Level.TASK) for column in stages.columns
    )
    if resampled and stages.tests > stages.alpha * RESAMPLES:
        p = f"a resampled p-value is never below 1 in {RESAMPLES:,}"
        yield f"Over {stages.tests} tests graded and corpus scores can hardly be called forgotten: {p}. Trace fewer stages."
    for column in stages.columns:
        if column.reason:
            yield f"{wording.one_line(column.name, SHOWN)} is in no measure: {column.reason}."
