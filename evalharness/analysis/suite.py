"""Average the rows of gate units: over the suite, and over every family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalharness.analysis.candidate_data import CandidateData
from evalharness.analysis.gate_units import of_group
from evalharness.analysis.rows import ComparisonDraft, RoundsAsked, draft, draws
from evalharness.records.compare_plan import UNNAMED, ComparePlan
from evalharness.records.comparison import Flag, Level, MeanDifference
from evalharness.stats.assess import Finding
from evalharness.stats.suite import combine, mean_difference


def without_target(data: CandidateData, rows: Sequence[ComparisonDraft]) -> list[ComparisonDraft]:
    """The gate units without what the candidate was trained on; a group that holds that is pooled again without it."""
    target = data.plan.targets.get(data.candidate, "")
    tasks = {task.name: task for task in data.facts}
    holding = {group.name: group for group in data.plan.groups if target in group.tasks}
    kept: list[ComparisonDraft] = []
    for row in rows:
        if row.unit and row.level == Level.GROUP and row.task in holding:
            rest = next(of_group(holding[row.task], tasks, data.plan, without=target), None)
            kept += [draft(data, rest)] if rest else []
        elif row.unit and row.task != target:
            kept.append(row)
    return kept


def above_chance(rows: Sequence[ComparisonDraft]) -> list[ComparisonDraft]:
    """Those in which the base is known to be able to do something, so that its skill can be lost."""
    findings = [(row, row.finding) for row in rows]
    return [row for row, each in findings if each.skill is not None and not each.at_chance and each.units >= 2]


def suite_row(
    kept: Sequence[ComparisonDraft], units: Sequence[ComparisonDraft], plan: ComparePlan, level: float | None = None
) -> ComparisonDraft:
    """The mean over the gate units that were kept, in units of skill, without those at chance; beside it the mean of
    all of them in points.

    `level`: coverage of its interval, instead of the plan's.
    """
    name = plan.suite_name or UNNAMED
    row = _mean_row((name, Level.SUITE), kept, plan, plan.level if level is None else level)
    flags = [
        *row.flags,
        *(flag for flag in (Flag.INCOMPLETE, Flag.PROMPTS_DIFFER) if any(flag in each.flags for each in units)),
    ]
    scored = [each for each in kept if each.points and each.finding.bootstrap is not None]
    mean = mean_difference([each.finding for each in scored], plan.level, draws(plan, name, "points")("suite"))
    return replace(
        row,
        unit=True,
        primary=True,
        judged=True,
        flags=tuple(flags),
        general=None
        if mean is None
        else MeanDifference(
            value=mean.value, low=mean.low, high=mean.high, units=len(scored), unable=sum(map(_base_unable, scored))
        ),
    )


def _base_unable(row: ComparisonDraft) -> bool:
    """Is the base at chance, or does it give one answer or none, so that the row cannot show what it can do?"""
    base = row.answers[0]
    return row.finding.at_chance or (base is not None and base.shows_nothing)


def family_rows(kept: Sequence[ComparisonDraft], plan: ComparePlan) -> list[ComparisonDraft]:
    """The same mean over each family's gate units, which describes; none where all are of one family."""
    families = dict.fromkeys(row.family for row in kept)
    members = {name: [row for row in kept if row.family == name] for name in families if len(families) > 1}
    rows = [_mean_row((name, Level.FAMILY), of, plan, plan.level) for name, of in members.items()]
    return [
        replace(row, finding=_undecided(row.finding), watch=_least(of))
        for row, of in zip(rows, members.values(), strict=True)
    ]


def _mean_row(
    of: tuple[str, Level], kept: Sequence[ComparisonDraft], plan: ComparePlan, coverage: float
) -> ComparisonDraft:
    name, level = of
    able = above_chance(kept)
    finding = combine([row.finding for row in able], plan.suite_margin, coverage, draws(plan, name, "skill")(level))
    flags = (
        (Flag.BASE_AT_CHANCE,) if not able and any(row.finding.at_chance and row.finding.units for row in kept) else ()
    )
    family, available = name if level == Level.FAMILY else "suite", sum(row.available for row in able)
    return ComparisonDraft(
        task=name,
        family=family,
        level=level,
        unit=False,
        metric="skill",
        primary=False,
        judged=False,
        available=available,
        flags=flags,
        finding=finding,
    )


def _undecided(finding: Finding) -> Finding:
    return replace(finding, margin=None, p_forgotten=None, p_retained=None, few_changes=False)


def _least(rows: Sequence[ComparisonDraft]) -> RoundsAsked | None:
    """How far all of the rows were asked."""
    watches = [row.watch for row in rows if row.watch is not None]
    return (
        RoundsAsked(
            asked=min(watch.asked for watch in watches), planned=sum(watch.planned for watch in watches), unit=None
        )
        if watches
        else None
    )
