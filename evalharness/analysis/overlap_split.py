"""Compare each candidate with its base separately on examples that it saw in training and on those it did not.

Each candidate saw other examples, so each is compared alone. The rows only describe: they are variants of kind "part".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from evalharness.analysis.comparison import compare
from evalharness.analysis.pairing import asked_of_both, rows_of_units
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.tasks import Group, Variant, VariantKind
from evalharness.stats.enums import MetricKind
from evalharness.tasks.variants import name_of

CLEAN, OVERLAPPING = "clean", "overlapping"

SeenUnits = Mapping[str, Set[str]]  # task -> units of which an example was seen in training


def overlap_rows(run: MeasuredRun) -> tuple[Comparison, ...]:
    """Return the rows of each candidate on the two parts of every task of which it saw examples, and of groups with
    such a task.
    """
    return tuple(row for name, units in run.seen_units.items() for row in _of_candidate(run, name, units))


def _of_candidate(run: MeasuredRun, candidate: str, seen_units: SeenUnits) -> list[Comparison]:
    scored = {fact.name for fact in run.facts if not _opaque(fact)}
    overlapping = {name for name, units in seen_units.items() if units}
    pooled = [g for g in run.plan.groups if not g.beside and scored >= set(g.tasks) and overlapping & set(g.tasks)]
    alone = replace(run.plan, candidates=(candidate,), references=(), targets={}, average=None, until_decided=False)
    names = {name for name in seen_units if name in overlapping or any(name in group.tasks for group in pooled)}
    run = _asked_of_both(run, candidate, names)
    stopped = {fact.name for fact in run.facts if candidate in fact.rounds}
    stopped |= {group.name for group in pooled if stopped & set(group.tasks)}
    facts = [replace(fact, rounds={}) for fact in run.facts if fact.name in names]
    rows: list[Comparison] = []
    for part in (CLEAN, OVERLAPPING):
        for row in _compare_part(part, replace(run, facts=tuple(facts)), alone, seen_units, pooled):
            if row.variant is not None and row.variant.of in overlapping | {group.name for group in pooled}:
                rows.append(_point(row) if row.variant.of in stopped else replace(row, primary=False))
    return rows


def _opaque(fact: TaskFacts) -> bool:
    return any(metric.id == fact.primary and metric.kind == MetricKind.OPAQUE for metric in fact.metrics)


def _asked_of_both(run: MeasuredRun, candidate: str, tasks: Set[str]) -> MeasuredRun:
    """Return the measurements of `tasks` of base and candidate. In a run with rounds, they are of the rounds that both
    were asked.
    """
    sides, facts = (run.plan.base, candidate), {fact.name: fact for fact in run.facts}
    rows = [m for m in run.measurements if m.model in sides and m.task in tasks and m.point is None]
    if run.plan.until_decided:
        rows = [asked_of_both(facts[m.task], sides, m, run.plan.seed) for m in rows]
    return replace(run, measurements=tuple(rows))


def _compare_part(
    part: str, run: MeasuredRun, plan: ComparePlan, seen_units: SeenUnits, groups: Sequence[Group]
) -> Sequence[Comparison]:
    """Compare one candidate with its base on one part of every task."""
    facts, measurements = list[TaskFacts](), list[Measurement]()
    for fact in run.facts:
        metrics = tuple(metric for metric in fact.metrics if metric.kind != MetricKind.OPAQUE)
        ids = {metric.id for metric in metrics}
        own = [m for m in run.measurements if m.task == fact.name and m.metric in ids]
        parts_measured = [_measurement_part(m, part, seen_units[fact.name]) for m in own]
        if parts_measured and all(m.units for m in parts_measured):
            name, available = name_of(fact.name, part), max(len(m.units) for m in parts_measured)
            variant = _variant(fact.name, part, fact.primary)
            facts.append(replace(fact, name=name, available=available, metrics=metrics, variant=variant, answers={}))
            measurements += parts_measured
    parts = tuple(_group_part(group, part) for group in groups)
    describing = (*(fact.name for fact in facts), *(group.name for group in parts))
    return compare(facts, measurements, replace(plan, groups=parts, describing=describing)) if facts else ()


def _group_part(group: Group, part: str) -> Group:
    tasks, variant = tuple(name_of(name, part) for name in group.tasks), _variant(group.name, part, group.metric)
    return replace(group, name=name_of(group.name, part), tasks=tasks, unit=False, variant=variant)


def _variant(of: str, part: str, metric: str) -> Variant:
    return Variant(of=of, way=part, kind=VariantKind.PART, metric=metric)


def _measurement_part(m: Measurement, part: str, seen_units: Set[str]) -> Measurement:
    places = np.flatnonzero([(unit in seen_units) == (part == OVERLAPPING) for unit in m.units])
    return replace(rows_of_units(m, places), task=name_of(m.task, part))


def _point(row: Comparison) -> Comparison:
    """Return the row with its values only: its intervals and p-values need a fixed sample."""
    base, candidate, difference = (
        each and Estimate(value=each.value) for each in (row.base, row.candidate_score, row.difference)
    )
    points = replace(row, base=base, candidate_score=candidate, difference=difference)
    return replace(points, primary=False, p_difference=None, retention=None)
