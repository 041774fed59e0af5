"""Measurements of a base and one candidate to a row for every task and metric, and for every group: all that is found,
before any verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalharness import fingerprint
from evalharness.analysis.candidate_data import Case
from evalharness.analysis.compare_plan import ComparePlan
from evalharness.analysis.pairing import knows_chance, measures_of, paired, points, pooled_metrics
from evalharness.errors import NotComparableError
from evalharness.metrics.base import ByUnit, from_facts
from evalharness.records.comparison import Flag, FlipShares, Level, MeanDifference
from evalharness.records.measurements import MetricFacts, TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.assess import Draw, Finding, assess
from evalharness.stats.early_stopping import ROUNDS, SequentialUnit, sequential_unit
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, pooled


@dataclass(frozen=True, slots=True)
class Watch:
    """How far a row's units were asked: `asked` rounds, of `planned` units. `unit`: what is looked at after every
    round, of a gate unit whose score
    allows it."""

    asked: int
    planned: int
    unit: SequentialUnit | None

    @property
    def stopped(self) -> bool:
        return self.asked < ROUNDS


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison in the making. `judged`: it gets a verdict; `flags`: what befell the data; from `drill` on, what
    only describes.
    """

    task: str
    family: str
    level: Level
    unit: bool
    metric: str
    primary: bool
    judged: bool
    available: int
    flags: tuple[Flag, ...]
    finding: Finding
    drill: bool = False  # a part of a gate unit, to look into
    points: bool = False  # scored from 0 to 1, 1 being the best
    retention: Interval | None = None
    flips: FlipShares | None = None
    general: MeanDifference | None = None
    watch: Watch | None = None  # where units were asked in rounds


def every_row(case: Case) -> list[Row]:
    """A row for every task and metric in the order of the facts, then the groups'."""
    rows = [
        task_row(case, task, metric, task.name not in case.grouped) for task in case.facts for metric in task.metrics
    ]
    return [*rows, *(row for group in case.groups for row in group_rows(case, group))]


def unit_rows(case: Case) -> list[Row]:
    """The rows of the gate units alone."""
    tasks = [
        (task, metric)
        for task in case.facts
        for metric in task.metrics
        if metric.id == task.primary and task.name not in case.grouped
    ]
    rows = [task_row(case, task, metric, True) for task, metric in tasks]
    rows += [row for group in case.groups if group.unit for row in group_rows(case, replace(group, also=()))]
    return [row for row in rows if row.unit]


def task_row(case: Case, task: TaskFacts, metric: MetricFacts, unit: bool) -> Row:
    """`unit`: the task is one the gate looks at, not a part of a group that is."""
    plan, sides = case.plan, (case.plan.base, case.candidate)
    primary = metric.id == task.primary
    judged = primary and metric.kind != MetricKind.OPAQUE and task.name not in plan.describing
    measures: dict[str, Any] = {}
    if metric.kind == MetricKind.OPAQUE:
        finding, dropped = points(task, metric, sides, case.found)
    else:
        pairs, dropped = paired(task, metric, sides, case.found, plan.lots_of)
        pairs = replace(pairs, margin=plan.margins.get(task.name, task.margin) if judged else None)
        finding = _assessed(case, pairs, (task.name, metric.id), judged and unit)
        measures = measures_of(finding, pairs, [pairs], plan.level, knows_chance(task, metric)) | {
            "drill": judged and not unit
        }
        measures["watch"] = _watch(case, pairs if judged and unit else None, [(task, metric)])
    flags = _data_flags([task], case.candidate, plan.base, dropped)
    return Row(
        task.name,
        task.family,
        Level.TASK,
        judged and unit,
        metric.id,
        primary,
        judged,
        task.available,
        flags,
        finding,
        **measures,
    )


def group_rows(case: Case, group: Group, without: str = "") -> list[Row]:
    """Rows of a group's pooled units, by the metric that decides first and then by those that describe.

    None where nothing is left `without` a task, or where a group that only describes cannot be pooled.
    """
    plan, tasks = case.plan, case.tasks
    members = [tasks[name] for name in group.tasks if name in tasks and name != without]
    rows: list[Row] = []
    for wanted in (group.metric, *group.also):
        if not (
            metrics := pooled_metrics(
                replace(group, metric=wanted, unit=group.unit and wanted == group.metric), members
            )
        ):
            continue
        of_members = list(zip(members, metrics, strict=True))
        each = [
            paired(task, metric, (plan.base, case.candidate), case.found, plan.lots_of) for task, metric in of_members
        ]
        parts = [pairs for pairs, _ in each]
        judged = group.name not in plan.describing and wanted == group.metric
        unit = group.unit and judged
        whole = pooled(parts, plan.margins.get(group.name, group.margin) if judged else None, group.macro)
        metric = wanted if any(each.id == wanted for each in metrics) else metrics[0].id
        finding = _assessed(case, whole, (group.name, metric), unit)
        measures = measures_of(finding, whole, parts, plan.level, all(knows_chance(*of) for of in of_members))
        measures["watch"] = _watch(case, whole if unit and not group.macro else None, of_members)
        flags = _data_flags(members, case.candidate, plan.base, any(dropped for _, dropped in each))
        available = sum(task.available for task in members)
        rows.append(
            Row(
                group.name,
                group.family,
                Level.GROUP,
                unit,
                metric,
                judged,
                judged,
                available,
                flags,
                finding,
                **measures,
            )
        )
    return rows


def _watch(case: Case, pairs: Pairs | None, members: Sequence[tuple[TaskFacts, MetricFacts]]) -> Watch | None:
    """How far a row was asked; None where all were asked at once. `pairs`: of a gate unit whose score may have an
    e-process.
    """
    if not case.plan.until_decided:
        return None
    asked = min(
        (task.rounds.get(model, ROUNDS) for task, _ in members for model in (case.plan.base, case.candidate)),
        default=ROUNDS,
    )
    largest = max(
        (1 if isinstance(from_facts(metric), ByUnit) else task.largest for task, metric in members), default=1
    )
    unit = None if pairs is None or pairs.order is None else sequential_unit(pairs, pairs.order, float(largest))
    return Watch(asked, sum(task.planned for task, _ in members), unit)


def check_groups(facts: Sequence[TaskFacts], groups: Sequence[Group]) -> None:
    """Can every group that is a gate unit be pooled? To be asked before anything is answered. Raises TaskError."""
    tasks = {task.name: task for task in facts}
    for group in groups:
        pooled_metrics(group, [tasks[name] for name in group.tasks if name in tasks])


def draws(plan: ComparePlan, task: str, metric: str) -> Draw:
    """Generators for one comparison. They know no candidate's name: renaming moves no number, and all candidates see
    the same resamples.
    """
    return lambda purpose: fingerprint.generator([plan.seed, task, metric, purpose])


def _assessed(case: Case, pairs: Pairs, of: tuple[str, str], unit: bool) -> Finding:
    """`of`: the task or group, and the metric."""
    task, metric = of
    finding = assess(
        pairs, case.plan.level, draws(case.plan, task, metric), case.effort, case.plan.final_level if unit else None
    )
    if not all(
        math.isfinite(number)
        for number in (*finding.base, *finding.candidate, *finding.difference)
        if number is not None
    ):
        raise NotComparableError(task, f"{metric} is not a finite number", "it must have a value for every sum of rows")
    return finding


def _data_flags(tasks: Sequence[TaskFacts], candidate: str, base: str, dropped: bool) -> tuple[Flag, ...]:
    unparsed = any(task.unparsed.get(model, 0) for task in tasks for model in (base, candidate))
    incomplete = dropped or any(task.failed.get(model, 0) for task in tasks for model in (base, candidate))
    differ = any(
        task.prompts.get(candidate, task.prompts_digest) != task.prompts.get(base, task.prompts_digest)
        for task in tasks
    )
    shown = {
        Flag.TRUNCATED: any(task.truncated for task in tasks),
        Flag.UNPARSED: unparsed,
        Flag.INCOMPLETE: incomplete,
        Flag.PROMPTS_DIFFER: differ,
    }
    return tuple(flag for flag, is_set in shown.items() if is_set)


def unjudged(row: Row) -> Row:
    """The same without anything that could decide."""
    finding = replace(row.finding, margin=None, p_forgotten=None, p_retained=None)
    return replace(
        row,
        unit=False,
        judged=False,
        flags=tuple(flag for flag in row.flags if flag != Flag.BASE_AT_CHANCE),
        finding=finding,
    )
