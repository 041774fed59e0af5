"""Compute the measures of continual learning over the stages of a training.

They are accuracy, backward and forward transfer, forgetting and intransigence (stats/continual.py), each over the tasks
that a stage taught, over general abilities, and over both. A stage is one of several trainings in a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.gate_units import Subject
from evalharness.analysis.pairing import MeasurementTable, pairs_of
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.report.stages import KINDS, NAMES, ContinualMeasure, StageTask
from evalharness.stats.continual import ContinualDesign, with_intervals
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, pool_pairs
from evalharness.stats.resample import Floats, Score

SINGLE = "it has no test of its own (it only describes)"
OPAQUE = "its metric is one number for all answers, without rows that could be resampled"
UNBOUNDED = "its scores have no scale on which they could be averaged with others"
LARGEST = 100.0  # largest end of a scale on which scores are shares; perplexities have no such end
FEW = "fewer than two of its units were answered by all models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The stages of a training, by their names in the run.

    `base`: the model before the first stage. `learned`: stage -> the tasks that it taught. `joint`: a model trained on
    all tasks at once. `fresh`: one that learned nothing. Both are None if there is no such model.
    """

    base: str
    stages: tuple[str, ...]
    learned: Mapping[str, tuple[str, ...]]
    joint: str | None = None
    fresh: str | None = None

    def learned_at(self, tasks: set[str]) -> int:
        """Return the number of the stage that taught any of the tasks, 0 for none.

        If several stages in a row were trained on them (such as the saved steps of one training), it is the last of
        these.
        """
        at = [number for number, stage in enumerate(self.stages, 1) if tasks & set(self.learned.get(stage, ()))]
        end = at[0] if at else 0
        while end and end + 1 in at:
            end += 1
        return end

    def known_by(self, learned: int, stage: int) -> str | None:
        """Name the model against which stage number `stage` is tested on a task that stage number `learned` taught;
        None for that stage itself.
        """
        if learned and stage == learned:
            return None
        return self.stages[learned - 1] if 0 < learned < stage else self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesRun:
    """A finished run over the stages of a training, as read from its folder.

    `facts`: about its tasks. `table`: its measurements. `plan`: how it was compared. `comparisons`: (task or group,
    candidate) -> the comparison with the base that decides.
    """

    track: Track
    facts: tuple[TaskFacts, ...]
    table: MeasurementTable
    plan: ComparePlan
    comparisons: Mapping[tuple[str, str], Comparison]  # the deciding ones, by (task or group, candidate)

    @property
    def models(self) -> tuple[str, ...]:
        """Return the base, the stages in order, then the joint and the fresh model, if there are any."""
        beside = (self.track.joint, self.track.fresh)
        return (self.track.base, *self.track.stages, *(name for name in beside if name is not None))

    def learned(self, subject: Subject) -> int:
        """Return the number of the stage that taught the task, or any task of the group."""
        return self.track.learned_at({subject.name, *(subject.group.tasks if subject.group else ())})


def pairs_of_models(run: StagesRun, subject: Subject) -> dict[str, Pairs]:
    """Pair the base's rows with each model's (and its own), over the units that all answered; return {} if rows are
    missing.
    """
    models = run.models
    members: dict[str, list[Pairs]] = {model: [] for model in models}
    for fact, metric in subject.members:
        keys = [(fact.name, metric.id, model) for model in models]
        measured = [run.table[key] for key in keys if key in run.table]
        if metric.kind == MetricKind.OPAQUE or len(measured) < len(keys):
            return {}
        places = _shared(measured)
        sizes = np.array(measured[0].sizes, dtype=np.float64)[places[0]]
        rows = [each.rows[place] for each, place in zip(measured, places, strict=True)]
        for model, own in zip(models, rows, strict=True):
            members[model].append(pairs_of((fact, metric), rows[0], own, sizes))
    return {model: pool_pairs(of_model, None, subject.macro) for model, of_model in members.items()}


def _shared(measured: Sequence[Measurement]) -> list[NDArray[np.intp]]:
    """Return for every measurement the indices of the units that all models answered in full, in the first's order."""
    sizes = [dict(zip(each.units, each.sizes, strict=True)) for each in measured]
    units = [unit for unit, size in sizes[0].items() if all(of.get(unit) == size for of in sizes)]
    at = [{unit: place for place, unit in enumerate(each.units)} for each in measured]
    return [np.array([of[unit] for unit in units], dtype=np.intp) for of in at]


def with_scales(
    columns: Sequence[StageTask], subjects: Sequence[Subject], pairs: Mapping[str, Mapping[str, Pairs]]
) -> tuple[list[StageTask], bool]:
    """Add to the columns the divisors of their scores in the measures; also return whether these are other than 1,
    which they are if the scales differ.
    """
    with_scale = []
    for column, subject in zip(columns, subjects, strict=True):
        largest = max(map(abs, subject.members[0][1].ends))
        of = pairs[column.name]
        if column.kind == MetricKind.OPAQUE:
            reason = OPAQUE
        elif not column.unit:
            reason = SINGLE
        elif not 0 < largest <= LARGEST:
            reason = UNBOUNDED
        else:
            reason = FEW if not of or len(next(iter(of.values())).base) < 2 else ""
        with_scale.append(replace(column, scale=None if reason else largest, reason=reason))
    usable = [column for column in with_scale if column.scale is not None]
    scaled = len({(column.scale, column.higher_is_better) for column in usable}) > 1
    if not scaled:
        with_scale = [replace(column, scale=None if column.scale is None else 1.0) for column in with_scale]
    return with_scale, scaled


def measures_of(
    run: StagesRun, columns: Sequence[StageTask], pairs: Mapping[str, Mapping[str, Pairs]]
) -> Iterator[ContinualMeasure]:
    """Compute every measure over the tasks that a stage taught, over general abilities, and over both."""
    models = run.models
    joint, fresh = (models.index(name) if name is not None else None for name in (run.track.joint, run.track.fresh))
    mixed = len({column.higher_is_better for column in columns if column.scale is not None}) > 1
    for kind in KINDS:
        of = [
            column
            for column in columns
            if column.scale is not None and (kind == "all" or (column.learned > 0) == (kind == "learned"))
        ]
        intervals: dict[str, Interval] = {}
        if of:
            rows = [np.stack([pairs[column.name][model].candidate for model in models], axis=1) for column in of]
            scores = [_oriented(column, pairs[column.name][run.track.base], mixed) for column in of]
            design = ContinualDesign(learned=tuple(column.learned for column in of), fresh=fresh, joint=joint)
            intervals = with_intervals(rows, scores, design, run.plan.level)
        for name in NAMES:
            estimate = estimate_of(intervals[name]) if name in intervals else None
            yield ContinualMeasure(
                over=kind,
                name=name,
                tasks=len(of),
                estimate=estimate,
                reason="" if estimate else _why_not(name, of, joint),
            )


def _oriented(column: StageTask, pairs: Pairs, mixed: bool) -> Score:
    """Score summed rows on a common scale on which more is better. If columns with other scales are `mixed` in, a score
    of which less is better is subtracted from the top of its scale.
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
        learned = any(column.learned for column in columns)
        return "none was learned at a stage" if not learned else "no --joint model" if joint is None else ""
    return "none was learned before the last stage"


def estimate_of(interval: Interval) -> Estimate:
    """Convert an interval for the results: an end that is not finite becomes None."""
    low, high = (None if end is None or not math.isfinite(end) else end for end in (interval.low, interval.high))
    return Estimate(value=interval.value, low=low, high=high)
