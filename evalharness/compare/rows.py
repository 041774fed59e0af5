"""Measurements of a base and one candidate to a row for every task and metric, and for every group: all that is found, before any verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evalharness import fingerprint
from evalharness.compare.plan import ComparePlan
from evalharness.errors import NotComparableError
from evalharness.pairing import Found, knows_chance, measures_of, paired, points, pooled_metrics
from evalharness.records.findings import FlipShares, Level, MeanDifference
from evalharness.records.measured import MetricFacts, TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.assess import Draw, Finding, Interval, Pairs, assess
from evalharness.stats.pooling import pooled


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison in the making. `judged`: it gets a verdict; `flags`: what befell the data; from `drill` on, what only describes."""

    task: str
    family: str
    level: Level
    unit: bool
    metric: str
    primary: bool
    judged: bool
    available: int
    flags: tuple[str, ...]
    finding: Finding
    drill: bool = False  # a part of a gate unit, to look into
    points: bool = False  # scored from 0 to 1, 1 being the best
    retention: Interval | None = None
    flips: FlipShares | None = None
    general: MeanDifference | None = None


def task_row(task: TaskFacts, metric: MetricFacts, candidate: str, found: Found, plan: ComparePlan, unit: bool) -> Row:
    primary, sides = metric.id == task.primary, (plan.base, candidate)
    judged = primary and metric.kind != "opaque" and task.name not in plan.describing
    measures: dict[str, Any] = {}
    if metric.kind == "opaque":
        finding, dropped = points(task, metric, sides, found)
    else:
        pairs, dropped = paired(task, metric, sides, found)
        pairs = replace(pairs, margin=plan.margins.get(task.name, task.margin) if judged else None)
        finding = _assessed(pairs, plan, task.name, metric.id)
        measures = measures_of(finding, pairs, [pairs], plan.level, knows_chance(task, metric)) | {"drill": judged and not unit}
    flags = _data_flags([task], candidate, plan.base, dropped)
    return Row(task.name, task.family, "task", judged and unit, metric.id, primary, judged, task.available, flags, finding, **measures)


def group_rows(group: Group, tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan, without: str = "") -> list[Row]:
    """Rows of a group's pooled units, by the metric that decides first and then by those that describe.

    None where nothing is left `without` a task, or where a group that only describes cannot be pooled.
    """
    members = [tasks[name] for name in group.tasks if name in tasks and name != without]
    rows: list[Row] = []
    for wanted in (group.metric, *group.also):
        if not (metrics := pooled_metrics(replace(group, metric=wanted, unit=group.unit and wanted == group.metric), members)):
            continue
        of_members = [paired(task, metric, (plan.base, candidate), found) for task, metric in zip(members, metrics, strict=True)]
        parts = [pairs for pairs, _ in of_members]
        judged = group.name not in plan.describing and wanted == group.metric
        whole = pooled(parts, plan.margins.get(group.name, group.margin) if judged else None, group.macro)
        metric = wanted if any(each.id == wanted for each in metrics) else metrics[0].id
        finding = _assessed(whole, plan, group.name, metric)
        known = all(knows_chance(task, of_task) for task, of_task in zip(members, metrics, strict=True))
        measures = measures_of(finding, whole, parts, plan.level, known)
        flags = _data_flags(members, candidate, plan.base, any(dropped for _, dropped in of_members))
        available = sum(task.available for task in members)
        row = Row(group.name, group.family, "group", group.unit and judged, metric, judged, judged, available, flags, finding, **measures)
        rows.append(row)
    return rows


def check_groups(facts: Sequence[TaskFacts], groups: Sequence[Group]) -> None:
    """Can every group that is a gate unit be pooled? To be asked before anything is answered. Raises TaskError."""
    tasks = {task.name: task for task in facts}
    for group in groups:
        pooled_metrics(group, [tasks[name] for name in group.tasks if name in tasks])


def draws(plan: ComparePlan, task: str, metric: str) -> Draw:
    """Generators for one comparison. They know no candidate's name: renaming moves no number, and all candidates see the same resamples."""
    return lambda purpose: np.random.default_rng(int(fingerprint.of_value([plan.seed, task, metric, purpose])[:16], 16))


def _assessed(pairs: Pairs, plan: ComparePlan, task: str, metric: str) -> Finding:
    finding = assess(pairs, plan.level, draws(plan, task, metric))
    if not all(math.isfinite(number) for number in (*finding.base, *finding.candidate, *finding.difference) if number is not None):
        raise NotComparableError(task, f"{metric} is not a finite number", "it must have a value for every sum of rows")
    return finding


def _data_flags(tasks: Sequence[TaskFacts], candidate: str, base: str, dropped: bool) -> tuple[str, ...]:
    unparsed = any(task.unparsed.get(model, 0) for task in tasks for model in (base, candidate))
    incomplete = dropped or any(task.failed.get(model, 0) for task in tasks for model in (base, candidate))
    differ = any(task.prompts.get(candidate, task.prompts_digest) != task.prompts.get(base, task.prompts_digest) for task in tasks)
    shown = {"truncated": any(task.truncated for task in tasks), "unparsed": unparsed, "incomplete": incomplete, "prompts_differ": differ}
    return tuple(flag for flag, is_set in shown.items() if is_set)


def unjudged(row: Row) -> Row:
    """The same without anything that could decide."""
    finding = replace(row.finding, margin=None, p_forgotten=None, p_retained=None)
    return replace(row, unit=False, judged=False, flags=tuple(flag for flag in row.flags if flag != "base_at_chance"), finding=finding)
