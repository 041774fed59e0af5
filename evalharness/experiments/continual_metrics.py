"""A finished run over ordered stages to what became of every task: scores, measures, and the first stage at which it
was forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evalharness import fingerprint, results
from evalharness.analysis.comparison import compare
from evalharness.analysis.gate_units import Subject, subjects
from evalharness.analysis.pairing import MeasurementTable, pairs_of
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.report.stages import KINDS, NAMES, ContinualMeasure, Stages, StageScore, StageTask
from evalharness.stats.continual import ContinualDesign, with_intervals
from evalharness.stats.enums import MetricKind
from evalharness.stats.multiplicity import holm
from evalharness.stats.pairs import Interval, Pairs, pooled
from evalharness.stats.resample import Floats, Score
from evalharness.stats.retention import retention
from evalharness.stats.verdict import Verdict, decide

RULE = (
    "A task is tested after every stage but the one that taught it: against that stage if later, against the base if earlier or where no stage "
    "taught it. The test is at its margin, and Holm's correction is over all {tests} tests of tasks and stages: the chance that anything at all is "
    "called forgotten that lost no more than its margin is at most {alpha:g}. The first stage named is the first at which it is shown, not surely "
    "the first at which it is so."
)
SINGLE = "it has no test of its own (it only describes)"
OPAQUE = "its metric is one number for all answers, without rows that could be resampled"
UNBOUNDED = "its scores have no scale on which they could be averaged with others"
LARGEST = 100.0  # end of a scale on which scores are shares; perplexities have none
FEW = "fewer than two of its units were answered by all models"


@dataclass(frozen=True, slots=True)
class Track:
    """The stages by the names that the run gave them, what each was trained on, and the models beside them."""

    base: str
    stages: tuple[str, ...]
    learned: Mapping[str, tuple[str, ...]]
    joint: str | None = None
    fresh: str | None = None

    def learned_at(self, tasks: set[str]) -> int:
        """The stage that taught any of the tasks: the last of the first unbroken series of stages that were trained on
        it, 0 where none was.

        Of the saved steps of one training it is the last.
        """
        at = [number for number, stage in enumerate(self.stages, 1) if tasks & set(self.learned.get(stage, ()))]
        end = at[0] if at else 0
        while end and end + 1 in at:
            end += 1
        return end

    def known_by(self, learned: int, stage: int) -> str | None:
        """The model against which it is asked whether `stage` forgot a task that was `learned` there; None of the stage
        that taught it.
        """
        if learned and stage == learned:
            return None
        return self.stages[learned - 1] if 0 < learned < stage else self.base


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's folder, read."""

    track: Track
    facts: tuple[TaskFacts, ...]
    table: MeasurementTable
    plan: ComparePlan
    comparisons: Mapping[tuple[str, str], Comparison]  # by (task or group, candidate): those that decide

    def learned(self, subject: Subject) -> int:
        """The stage that taught the task, or any of the group."""
        return self.track.learned_at({subject.name, *(subject.group.tasks if subject.group else ())})


def stages_of(out: Path, track: Track) -> Stages:
    """What `out`, a finished run over the stages, says of them. Raises UsageError where it is no such run."""
    measured = results.read_measurements(out)
    rows = results.read_results(out).comparisons
    run = _Run(
        track,
        measured.facts,
        {(m.task, m.metric, m.model): m for m in measured.measurements},
        _plan_of(measured.plan, track),
        {(row.task, row.candidate): row for row in rows if row.primary and row.level != Level.SUITE},
    )
    columns_of = [subject for subject in subjects(run.facts, run.plan) if _is_column(subject)]
    pairs = {subject.name: _pairs(run, subject) for subject in columns_of}
    columns = [_column(run, subject, pairs[subject.name]) for subject in columns_of]
    columns, scaled = _with_scales(_tested(run, columns, _since(run, columns_of)), columns_of, pairs)
    tests = sum(cell.p_adjusted is not None for column in columns for cell in column.cells)
    return Stages(
        base=track.base,
        stages=track.stages,
        learned=track.learned,
        joint=track.joint,
        fresh=track.fresh,
        alpha=run.plan.alpha,
        level=run.plan.level,
        tests=tests,
        rule=RULE.format(tests=tests, alpha=run.plan.alpha),
        scaled=scaled,
        columns=tuple(columns),
        measures=tuple(_measures(run, columns, pairs)),
        of=fingerprint.of_file(out / results.RESULTS),
    )


def _plan_of(plan: ComparePlan, track: Track) -> ComparePlan:
    """The run's plan as far as it decides about single tasks."""
    groups = tuple(replace(group, also=()) for group in plan.groups)
    alone = replace(plan, base=track.base, candidates=track.stages, groups=groups, targets={}, average=None)
    return replace(alone, references=(), until_decided=False)


# ---- columns ---------------------------------------------------------------------------------------------------------


def _is_column(subject: Subject) -> bool:
    """Gate units, and tasks of their own that have no test."""
    return subject.unit or (subject.primary and subject.level == Level.TASK and not subject.inside)


def _column(run: _Run, subject: Subject, pairs: Mapping[str, Pairs]) -> StageTask:
    """A column whose cells know scores and differences to the base; `pairs`: the base's rows and each model's."""
    rows = {
        name: run.comparisons[subject.name, name]
        for name in (*run.track.stages, run.track.joint, run.track.fresh)
        if name is not None
    }
    first, metric, cells = rows[run.track.stages[0]], subject.members[0][1], list[StageScore]()
    for number, stage in enumerate(run.track.stages, 1):
        row, kept = rows[stage], None
        known = run.track.known_by(run.learned(subject), number)
        if known is not None and pairs:
            kept = retention(replace(pairs[stage], base=pairs[known].candidate), run.plan.level)
        cells.append(
            StageScore(
                stage,
                row.n,
                row.candidate_score,
                row.difference,
                row.verdict,
                retained=None if kept is None else _estimate(kept),
            )
        )
    chance = next(iter(pairs.values())).chance if pairs else subject.members[0][0].chance
    beside = {
        key: rows[name].candidate_score if name else None
        for key, name in (("joint", run.track.joint), ("fresh", run.track.fresh))
    }
    head = (
        subject.name,
        first.level,
        first.metric,
        metric.kind,
        metric.higher_is_better,
        first.unit,
        first.margin,
        chance,
        run.learned(subject),
    )
    return StageTask(*head, first.base, tuple(cells), **beside)


def _estimate(interval: Interval) -> Estimate:
    low, high = (None if end is None or not math.isfinite(end) else end for end in interval[1:])
    return Estimate(value=interval.value, low=low, high=high)


# ---- what was forgotten when -----------------------------------------------------------------------------------------


def _since(run: _Run, subjects: Sequence[Subject]) -> dict[tuple[str, str], Comparison]:
    """Comparisons of every stage with the model that knew the task, by (column, stage); the run has made those with the
    base.
    """
    found = {}
    for known in sorted({run.learned(subject) for subject in subjects}):
        names, later = {subject.name for subject in subjects if run.learned(subject) == known}, run.track.stages[known:]
        with_base = run.track.stages[: known - 1] if known else later
        found |= {(name, stage): run.comparisons[name, stage] for name in names for stage in with_base}
        if known and later:
            of = [subject for subject in subjects if subject.name in names]
            facts = [replace(fact, metrics=(metric,)) for subject in of for fact, metric in subject.members]
            groups = tuple(subject.group for subject in of if subject.group is not None)
            plan = replace(run.plan, base=run.track.stages[known - 1], candidates=later, groups=groups)
            rows = compare(facts, list(run.table.values()), plan)
            found |= {
                (row.task, row.candidate): row
                for row in rows
                if row.task in names and row.primary and row.level != Level.SUITE
            }
    return found


def _tested(run: _Run, columns: Sequence[StageTask], since: Mapping[tuple[str, str], Comparison]) -> list[StageTask]:
    """Columns with what became of them: Holm over everything that is tested."""
    keys = [
        (column.name, cell.stage)
        for column in columns
        for cell in column.cells
        if column.unit and (row := since.get((column.name, cell.stage))) is not None and row.p_forgotten is not None
    ]
    adjusted = dict(zip(keys, holm([since[key].p_forgotten or 0.0 for key in keys]), strict=True))
    found = []
    for column in columns:
        cells = []
        for number, cell in enumerate(column.cells, 1):
            row, p = since.get((column.name, cell.stage)), adjusted.get((column.name, cell.stage))
            if row is not None:
                cell = replace(cell, reference=run.track.known_by(column.learned, number), since=row.difference)
            if row is not None and p is not None:
                cell = replace(cell, p_forgotten=row.p_forgotten, p_adjusted=p, state=_state(row, p, run.plan.alpha))
            cells.append(cell)
        found.append(_with_first(replace(column, cells=tuple(cells))))
    return found


def _state(row: Comparison, adjusted: float, alpha: float) -> Verdict:
    can_retain, at_chance = "margin_exceeds_skill" not in row.flags, "base_at_chance" in row.flags
    p_retained = 1.0 if row.p_retained is None else row.p_retained
    return decide(adjusted, p_retained, alpha, units=row.n, can_retain=can_retain, at_chance=at_chance)


def _with_first(column: StageTask) -> StageTask:
    states = [cell.state for cell in column.cells]
    early, states = states[: column.learned], states[column.learned :]
    if "forgotten" in early:
        column = replace(column, untaught=column.cells[early.index("forgotten")].stage)
    if "forgotten" not in states:
        return column
    place = states.index("forgotten")
    later = states[place + 1 :]
    if not later:
        after = "last"
    elif set(later) == {"forgotten"}:
        after = "stays"
    else:
        after = "comes_back" if later[-1] == Verdict.RETAINED else "undecided"
    return replace(column, first=column.cells[column.learned + place].stage, after=after)


# ---- measures --------------------------------------------------------------------------------------------------------


def _pairs(run: _Run, subject: Subject) -> dict[str, Pairs]:
    """The base's rows beside each model's, the base's own among them, over the units that all answered; empty where
    there are no rows.
    """
    models = [
        run.track.base,
        *run.track.stages,
        *(name for name in (run.track.joint, run.track.fresh) if name is not None),
    ]
    members: dict[str, list[Pairs]] = {model: [] for model in models}
    for fact, metric in subject.members:
        of = [run.table.get((fact.name, metric.id, model)) for model in models]
        measured = [each for each in of if each is not None]
        if metric.kind == MetricKind.OPAQUE or len(measured) < len(of):
            return {}
        places = _shared(measured)
        sizes = np.array(measured[0].sizes, dtype=np.float64)[places[0]]
        rows = [each.rows[place] for each, place in zip(measured, places, strict=True)]
        for model, own in zip(models, rows, strict=True):
            members[model].append(pairs_of((fact, metric), rows[0], own, sizes))
    return {model: pooled(of_model, None, subject.macro) for model, of_model in members.items()}


def _shared(measured: Sequence[Measurement]) -> list[Any]:
    """Where the units stand, in every measurement, that all models answered in full; in the order of the first."""
    sizes = [dict(zip(each.units, each.sizes, strict=True)) for each in measured]
    units = [unit for unit, size in sizes[0].items() if all(of.get(unit) == size for of in sizes)]
    at = [{unit: place for place, unit in enumerate(each.units)} for each in measured]
    return [np.array([of[unit] for unit in units], dtype=np.intp) for of in at]


def _with_scales(
    columns: Sequence[StageTask], subjects: Sequence[Subject], pairs: Mapping[str, Mapping[str, Pairs]]
) -> tuple[list[StageTask], bool]:
    """Columns with what their scores are divided by in the measures, and whether that is anything: it is where the
    scales differ.
    """
    found = []
    for column, subject in zip(columns, subjects, strict=True):
        largest = max(abs(subject.members[0][1].low), abs(subject.members[0][1].high))
        of = pairs[column.name]
        if column.kind == MetricKind.OPAQUE:
            reason = OPAQUE
        elif not column.unit:
            reason = SINGLE
        elif not 0 < largest <= LARGEST:
            reason = UNBOUNDED
        else:
            reason = FEW if not of or len(next(iter(of.values())).base) < 2 else ""
        found.append(replace(column, scale=None if reason else largest, reason=reason))
    kept = [column for column in found if column.scale is not None]
    scaled = len({(column.scale, column.higher_is_better) for column in kept}) > 1
    if not scaled:
        found = [replace(column, scale=None if column.scale is None else 1.0) for column in found]
    return found, scaled


def _measures(
    run: _Run, columns: Sequence[StageTask], pairs: Mapping[str, Mapping[str, Pairs]]
) -> Iterator[ContinualMeasure]:
    """Every measure over the tasks that a stage taught, over general abilities, and over both."""
    models = [
        run.track.base,
        *run.track.stages,
        *(name for name in (run.track.joint, run.track.fresh) if name is not None),
    ]
    joint, fresh = (models.index(name) if name is not None else None for name in (run.track.joint, run.track.fresh))
    mixed = len({column.higher_is_better for column in columns if column.scale is not None}) > 1
    for kind in KINDS:
        of = [
            column
            for column in columns
            if column.scale is not None and (kind == "all" or (column.learned > 0) == (kind == "learned"))
        ]
        found: dict[str, Interval] = {}
        if of:
            rows = [np.stack([pairs[column.name][model].candidate for model in models], axis=1) for column in of]
            scores = [_oriented(column, pairs[column.name][run.track.base], mixed) for column in of]
            rng = fingerprint.generator([run.plan.seed, "stages", kind])
            found = with_intervals(
                rows, scores, ContinualDesign(tuple(column.learned for column in of), fresh, joint), run.plan.level, rng
            )
        for name in NAMES:
            estimate = _estimate(found[name]) if name in found else None
            yield ContinualMeasure(kind, name, len(of), estimate, "" if estimate else _why_not(name, of, joint))


def _oriented(column: StageTask, pairs: Pairs, mixed: bool) -> Score:
    """Summed rows to scores of which more is better, on a common scale. Beside others, a score of which less is better
    counts from the top.
    """
    scale, start = column.scale or 1.0, 1.0 if mixed and pairs.sign < 0 else 0.0

    def score(sums: Floats) -> Floats:
        return np.asarray(start + pairs.sign * pairs.score(sums) / scale)

    return score


def _why_not(name: str, columns: Sequence[StageTask], joint: int | None) -> str:
    if not columns:
        return "no such task"
    if name == "forward_transfer":
        return "none was learned after the first stage"
    if name == "intransigence":
        return (
            "none was learned at a stage"
            if not any(column.learned for column in columns)
            else "no --joint model"
            if joint is None
            else ""
        )
    return "none was learned before the last stage"
