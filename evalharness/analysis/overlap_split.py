"""What was measured of every task to the same of the examples that a candidate had seen in training, and of those that
it had not.

Each candidate has seen others, so base and candidate are compared again for each: TASK@clean and TASK@overlapping, rows
that only describe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evalharness import results
from evalharness.analysis.compare_plan import ComparePlan
from evalharness.analysis.comparison import compare
from evalharness.analysis.overlap import METHOD, Seen
from evalharness.analysis.pairing import asked_of_both, of_units
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.requests import PreparedTask
from evalharness.records.tasks import Group
from evalharness.run.contamination import index_of
from evalharness.run.plan import RunPlan
from evalharness.stats.enums import MetricKind

CLEAN, OVERLAPPING, KIND = "clean", "overlapping", "apart"


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was measured: the tasks' facts and every model's rows."""

    prepared: Sequence[PreparedTask]
    facts: Sequence[TaskFacts]
    measurements: Sequence[Measurement]


def apart(run_plan: RunPlan, found: Found, plan: ComparePlan) -> tuple[Comparison, ...]:
    """Rows of each candidate on the two parts of every task of which it has seen some, and of every group that holds
    such a task.
    """
    rows: list[Comparison] = []
    scored = {
        fact.name
        for fact in found.facts
        if any(metric.id == fact.primary and metric.kind != MetricKind.OPAQUE for metric in fact.metrics)
    }
    groups = [group for group in run_plan.groups if group.name not in run_plan.asides and scored >= set(group.tasks)]
    for candidate, units in _units(run_plan, found).items():
        split = {name for name, seen in units.items() if seen}
        pooled = [group for group in groups if split & set(group.tasks)]
        members = {
            f"{group.name}@{part}": [f"{name}@{part}" for name in group.tasks]
            for group in pooled
            for part in (CLEAN, OVERLAPPING)
        }
        alone = replace(plan, candidates=(candidate,), references=(), targets={}, average=None, until_decided=False)
        asked, stopped = _asked(found, plan, candidate)
        for part in (CLEAN, OVERLAPPING):
            wanted = {
                name: seen
                for name, seen in units.items()
                if name in split or any(name in group.tasks for group in pooled)
            }
            shown = {f"{name}@{part}" for name in (*split, *(group.name for group in pooled))}
            of_part = [
                row
                for row in _part(part, asked, alone, wanted, pooled)
                if row.task in shown and row.level != Level.SUITE
            ]
            rows += [
                _point(row) if {*members.get(row.task, ()), row.task} & stopped else replace(row, primary=False)
                for row in of_part
            ]
    return tuple(rows)


def _asked(found: Found, plan: ComparePlan, candidate: str) -> tuple[Found, frozenset[str]]:
    """What both models were asked, and the names of the parts of tasks that were stopped early."""
    if not plan.until_decided:
        return found, frozenset()
    sides, facts = (plan.base, candidate), {fact.name: fact for fact in found.facts}
    rows = [
        asked_of_both(facts[m.task], sides, m, plan.seed)
        for m in found.measurements
        if m.model in sides and m.point is None
    ]
    stopped = {
        f"{fact.name}@{part}" for fact in found.facts if candidate in fact.rounds for part in (CLEAN, OVERLAPPING)
    }
    return replace(found, facts=[replace(fact, rounds={}) for fact in found.facts], measurements=rows), frozenset(
        stopped
    )


def _point(row: Comparison) -> Comparison:
    """Without what holds for a fixed sample only."""
    values = {side: Estimate(getattr(row, side).value) for side in ("base", "candidate_score", "difference")}
    return replace(row, **values, primary=False, p_difference=None, retention=None)


def _units(run_plan: RunPlan, found: Found) -> dict[str, dict[str, frozenset[str]]]:
    """Units of which a candidate has seen an example: candidate to task to units."""
    units: dict[str, dict[str, frozenset[str]]] = {}
    for name, seen in run_plan.overlaps.items():
        for of_task in found.prepared:
            if of_task.task.name not in run_plan.asides:
                hits = seen.hits.get(of_task.task.name, {})
                units.setdefault(name, {})[of_task.task.name] = frozenset(
                    each.unit for each in of_task.examples if index_of(each) in hits
                )
    return units


def _part(
    part: str, found: Found, plan: ComparePlan, units: Mapping[str, frozenset[str]], groups: Sequence[Group]
) -> Sequence[Comparison]:
    """One candidate's comparisons on one part of the tasks in `units`, which names what it has seen of each."""
    facts, measurements = list[TaskFacts](), list[Measurement]()
    for fact in found.facts:
        metrics = tuple(metric for metric in fact.metrics if metric.kind != MetricKind.OPAQUE)
        ids = {metric.id for metric in metrics} if fact.name in units else set[str]()
        rows = [
            m
            for m in found.measurements
            if m.task == fact.name and m.metric in ids and m.model in (plan.base, *plan.candidates)
        ]
        kept = [_kept(m, part, units[fact.name]) for m in rows]
        if kept and all(m.units for m in kept):
            facts.append(
                replace(fact, name=f"{fact.name}@{part}", available=max(len(m.units) for m in kept), metrics=metrics)
            )
            measurements += kept
    renamed = [
        replace(g, name=f"{g.name}@{part}", tasks=tuple(f"{name}@{part}" for name in g.tasks), unit=False)
        for g in groups
    ]
    describing = (*(fact.name for fact in facts), *(group.name for group in renamed))
    return compare(facts, measurements, replace(plan, groups=tuple(renamed), describing=describing)) if facts else ()


def _kept(m: Measurement, part: str, seen: frozenset[str]) -> Measurement:
    places = [i for i, unit in enumerate(m.units) if (unit in seen) == (part == OVERLAPPING)]
    return replace(of_units(m, places), task=f"{m.task}@{part}")


def asides_of(rows: Sequence[Comparison], primary: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The rows' tasks and groups as the signature lists what is no task of its own. `primary`: task or group -> the
    metric that decides it.
    """
    names = dict.fromkeys(row.task for row in rows)
    parts = {name: name.rpartition("@") for name in names}
    return {
        name: {"of": of, "way": part, "kind": KIND, "metric": primary.get(of, "")}
        for name, (of, _, part) in parts.items()
    }


def signed(run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> dict[str, Any]:
    """What the signature says of overlap: how it was looked for; by candidate where, and task by task how many examples
    overlap.
    """
    return {
        "method": METHOD,
        "candidates": {name: _of_candidate(run_plan, seen, prepared) for name, seen in run_plan.overlaps.items()},
    }


def _of_candidate(run_plan: RunPlan, seen: Seen, prepared: Sequence[PreparedTask]) -> dict[str, Any]:
    tasks = {}
    for of_task in prepared if seen.sources else ():
        if of_task.task.name not in run_plan.asides:
            hits = [
                hit
                for each in of_task.examples
                if (hit := seen.hits.get(of_task.task.name, {}).get(index_of(each))) is not None
            ]
            counts = {"whole": sum(hit.whole for hit in hits), "with_answer": sum(hit.answer for hit in hits)}
            tasks[of_task.task.name] = {"examples": len(of_task.examples), "overlapping": len(hits), **counts}
    return {"sources": [dict(source) for source in seen.sources], "notices": list(seen.notices), "tasks": tasks}


def write_overlap(out: Path, run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> None:
    """overlap.jsonl: a line for every candidate and example that it had seen, and in which row; no file where nobody
    was looked at.
    """
    if not run_plan.overlaps:
        (out / results.OVERLAP).unlink(missing_ok=True)
        return
    lines = [
        json.dumps({"candidate": name, "task": of_task.task.name, "id": each.id, **asdict(hit)}, ensure_ascii=True)
        for name, seen in run_plan.overlaps.items()
        for of_task in prepared
        if of_task.task.name not in run_plan.asides
        for each in of_task.examples
        if (hit := seen.hits.get(of_task.task.name, {}).get(index_of(each))) is not None
    ]
    results.write_text(out / results.OVERLAP, "".join(f"{line}\n" for line in lines))
