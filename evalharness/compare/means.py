"""Rows of gate units to the mean over them: of the suite, and of every family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalharness.compare.plan import UNNAMED, ComparePlan
from evalharness.compare.rows import Row, draws, group_rows
from evalharness.pairing import Found
from evalharness.records.findings import Level, MeanDifference
from evalharness.records.measured import TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.assess import Finding
from evalharness.stats.suite import combine, mean_difference


def untrained(
    rows: Sequence[Row], groups: Sequence[Group], tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan
) -> list[Row]:
    """The gate units without what the candidate was trained on; a group that holds that is pooled again without it."""
    target = plan.targets.get(candidate, "")
    holding = {group.name: group for group in groups if target in group.tasks}
    kept: list[Row] = []
    for row in rows:
        if row.unit and row.level == "group" and row.task in holding:
            kept += group_rows(holding[row.task], tasks, candidate, found, plan, without=target)[:1]
        elif row.unit and row.task != target:
            kept.append(row)
    return kept


def suite_row(kept: Sequence[Row], units: Sequence[Row], plan: ComparePlan) -> Row:
    """The mean over the gate units that were kept, in units of skill, without those at chance; beside it the mean of all of them in points."""
    name = plan.suite_name or UNNAMED
    row = _mean_row(name, "suite", kept, plan)
    flags = [*row.flags, *(flag for flag in ("incomplete", "prompts_differ") if any(flag in each.flags for each in units))]
    scored = [each.finding for each in kept if each.points and each.finding.bootstrap is not None]
    mean = mean_difference(scored, plan.level, draws(plan, name, "points")("suite"))
    return replace(row, unit=True, primary=True, judged=True, flags=tuple(flags), general=MeanDifference(*mean, len(scored)) if mean else None)


def family_rows(kept: Sequence[Row], plan: ComparePlan) -> list[Row]:
    """The same mean over each family's gate units, which describes; none where all are of one family."""
    families = dict.fromkeys(row.family for row in kept)
    rows = [_mean_row(name, "family", [row for row in kept if row.family == name], plan) for name in families if len(families) > 1]
    return [replace(row, finding=_undecided(row.finding)) for row in rows]


def _mean_row(name: str, level: Level, kept: Sequence[Row], plan: ComparePlan) -> Row:
    skilled = [row for row in kept if not row.finding.at_chance and row.finding.units >= 2]
    finding = combine([row.finding for row in skilled], plan.suite_margin, plan.level, draws(plan, name, "skill")(level))
    flags = ("base_at_chance",) if not skilled and any(row.finding.at_chance and row.finding.units for row in kept) else ()
    family, available = name if level == "family" else "suite", sum(row.available for row in skilled)
    return Row(name, family, level, False, "skill", False, False, available, flags, finding)


def _undecided(finding: Finding) -> Finding:
    return replace(finding, margin=None, p_forgotten=None, p_retained=None, few_changes=False)
