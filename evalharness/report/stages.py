"""stages.json to what a reader sees of ordered stages: the matrix of scores, the measures, and at which stage what was forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError
from evalharness.records import Estimate
from evalharness.report import wording
from evalharness.report.sweep import Table
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
AFTER = {  # what became of a task after the first stage at which it was forgotten
    "last": "the last stage",
    "stays": "forgotten at every stage after it",
    "comes_back": "retained again at the last stage",
    "undecided": "after that not shown at every stage",
}
SHOWN = 40  # characters of a name


@dataclass(frozen=True, slots=True)
class Cell:
    """One task after one stage. `score` in the metric's natural unit; `difference` to the base, + is better; `verdict` of the run on that.

    `reference`: the model since which it is asked whether the task was forgotten, None before the task was learned and where nothing can be
    tested; `since`: the difference to it; `retained`: the share of its skill over chance; `p_adjusted`: over all tasks and stages; `state`: the
    verdict by it.
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
    """One task, or group that is one gate unit. `learned`: the stage that taught it, counted from 1; 0: a general ability, known to the base.

    `kind`: of its metric; `scale`: what its scores are divided by in the measures, None where it is in none of them, for `reason`.
    `first`: the first stage at which it is shown to be forgotten, `after`: a key of AFTER.
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

    @property
    def forgotten(self) -> Cell | None:
        return next((cell for cell in self.cells if cell.stage == self.first), None)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure over tasks of one kind (a key of KINDS). `tasks`: how many of them; `reason`: why there is no value."""

    over: str
    name: str
    tasks: int
    estimate: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stages:
    """All of stages.json. `learned`: what each stage was trained on; `tests`: in the family of the correction; `of`: digest of results.json."""

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
    return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(stages)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_stages(folder: Path) -> Stages | None:
    """The stages whose stages.json lies in a run's folder; None where there is none, or one of another run. Raises UsageError for another file."""
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
        return Stages(**{**found, "stages": tuple(found["stages"]), "learned": learned, "columns": columns, "measures": measures})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(path, f"not a stages.json of evalharness ({type(error).__name__}: {error})", "give the command again") from error


def _column(of: Mapping[str, Any]) -> Column:
    cells = (Cell(**{**cell, **_estimates(cell, "score", "difference", "since", "retained")}) for cell in of["cells"])
    return Column(**{**of, **_estimates(of, "base", "joint", "fresh"), "cells": tuple(cells)})


def _estimates(of: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: _estimate(of[key]) for key in keys}


def _estimate(of: Mapping[str, Any] | None) -> Estimate | None:
    return None if of is None else Estimate(**of)


# ---- sentences -------------------------------------------------------------------------------------------------------


def sentences(stages: Stages) -> list[str]:
    """What was forgotten when, one sentence a task in the order of stages; then what was not shown to be."""
    place = {name: number for number, name in enumerate(stages.stages)}
    lost = sorted((column for column in stages.columns if column.first is not None), key=lambda column: place[column.first or ""])
    said = [_forgotten(column) for column in lost]
    tested = [column for column in stages.columns if any(cell.state for cell in column.cells)]
    if kept := [column for column in tested if column.first is None]:
        whole = [column for column in kept if column.cells[-1].state == "retained"]
        said.append(f"Not shown to be forgotten at any stage: {_names(kept)}")
        if whole:
            said.append(f"Retained at the last stage: {_names(whole)}")
    if points := [column for column in stages.columns if not any(cell.state for cell in column.cells)]:
        said.append(f"Not tested (no stage after the one that taught it, or no test for its metric): {_names(points)}")
    return said


def _forgotten(column: Column) -> str:
    cell = column.forgotten
    if cell is None or cell.since is None:
        return ""
    change = f"{wording.signed(cell.since.value, _places(column))} since {wording.one_line(cell.reference or '', SHOWN)}"
    when = f"{wording.one_line(column.name, SHOWN)} is forgotten at {wording.one_line(cell.stage, SHOWN)}"
    p = wording.p_value(cell.p_adjusted)
    return f"{when} ({change}, adjusted p {p if p.startswith('<') else f'= {p}'}): {AFTER[column.after or 'last']}"


def _names(columns: Sequence[Column]) -> str:
    return wording.listed(wording.one_line(column.name, SHOWN) for column in columns)


# ---- tables ----------------------------------------------------------------------------------------------------------


def tables(stages: Stages) -> list[Table]:
    """The matrix, the measures, and what became of each task: what the terminal shows."""
    return [matrix_table(stages), measure_table(stages), task_table(stages)]


def matrix_table(stages: Stages) -> Table:
    """Scores with their differences to the base, ▼ where forgotten: stages down and tasks across, or the reverse where that is narrower."""
    lines = [("", *(wording.one_line(column.name, SHOWN) for column in stages.columns))]
    lines.append((wording.one_line(stages.base, SHOWN), *(wording.plain(column.base.value, _places(column)) for column in stages.columns)))
    for number, stage in enumerate(stages.stages):
        lines.append((wording.one_line(stage, SHOWN), *(_cell(column, column.cells[number]) for column in stages.columns)))
    for name, key in ((stages.joint, "joint"), (stages.fresh, "fresh")):
        if name is not None:
            values = [getattr(column, key) for column in stages.columns]
            cells = (wording.plain(value and value.value, _places(column)) for column, value in zip(stages.columns, values, strict=True))
            lines.append((f"{wording.one_line(name, SHOWN)} ({key})", *cells))
    if len(stages.columns) > len(lines):
        lines = list(zip(*lines, strict=True))
    note = "scores, and differences to the base (+ is better); ▼: forgotten, corrected over all tasks and stages; *: learned here"
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
    yield stages.base, "base", tuple(Shown(wording.plain(column.base.value, _places(column))) for column in stages.columns)
    for number, stage in enumerate(stages.stages):
        yield stage, f"stage {number + 1}", tuple(_shown(column, column.cells[number]) for column in stages.columns)
    for name, key, words in ((stages.joint, "joint", "trained on everything at once"), (stages.fresh, "fresh", "learned nothing")):
        if name is not None:
            found = [(column, getattr(column, key)) for column in stages.columns]
            yield name, words, tuple(Shown(wording.plain(of.value if of else None, _places(column))) for column, of in found)


def _shown(column: Column, cell: Cell) -> Shown:
    places = _places(column)
    glyph = wording.VERDICTS[cell.state][0] if cell.state else ""
    mark = f"{glyph} {cell.state}" if cell.state in ("forgotten", "retained") else "learned here" if learned_here(column, cell) else ""
    change = wording.signed(cell.difference.value, places)
    return Shown(wording.plain(cell.score.value, places), change, wording.interval(cell.difference, places), mark, cell.state or "")


def _cell(column: Column, cell: Cell) -> str:
    places = _places(column)
    mark = wording.VERDICTS["forgotten"][0] if cell.state == "forgotten" else "*" if learned_here(column, cell) else ""
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
        first, last, places = column.forgotten, column.cells[-1], _places(column)
        rows.append(
            (
                wording.one_line(column.name, SHOWN),
                wording.one_line(stages.stages[column.learned - 1] if column.learned else stages.base, SHOWN),
                wording.one_line(first.stage, SHOWN) if first else "–",
                AFTER[column.after] if column.after else "–",
                _with_interval(last.since, places),
                wording.plain(last.retained.value if last.retained else None, 2),
            )
        )
    note = f"differences since the model that knew it; forgotten: Holm over {stages.tests} tests of tasks and stages, α = {stages.alpha:g}"
    return Table("Forgotten when", note, ("", "known since", "first forgotten at", "then", "at the last stage", "skill retained"), tuple(rows))


def _with_interval(estimate: Estimate | None, places: int) -> str:
    return wording.NONE if estimate is None else f"{wording.signed(estimate.value, places)} {wording.interval(estimate, places)}".strip()


def notes(stages: Stages) -> Iterator[str]:
    """What a reader should know of the measures."""
    yield stages.rule
    if any(measure.name == "forward_transfer" and measure.estimate for measure in stages.measures):
        yield f"Forward transfer is measured from the scores of {stages.fresh or f'the base ({stages.base})'}."
    for column in stages.columns:
        if column.reason:
            yield f"{wording.one_line(column.name, SHOWN)} is in no measure: {column.reason}."
