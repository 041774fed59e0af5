"""Average the rows of gate units: over the suite, and over every family.

A gate unit is a task or group that the gate judges; the suite is all gate units of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalharness.analysis.candidate_data import CandidateData
from evalharness.analysis.gate_units import of_group
from evalharness.analysis.rows import ComparisonDraft, RoundsAsked, draft
from evalharness.records.compare_plan import UNNAMED, ComparePlan
from evalharness.records.comparison import MARGINS, Flag, Level, MeanDifference
from evalharness.stats.assess import Finding
from evalharness.stats.engine_noise import NoiseLevel, mean_noise, widen
from evalharness.stats.suite import combine, mean_difference, mean_share_kept, median_difference


def without_target(data: CandidateData, rows: Sequence[ComparisonDraft]) -> list[ComparisonDraft]:
    """Return the gate units without the candidate's target (the task it was trained on). A group that contains the
    target is pooled again without it.
    """
    target = data.plan.targets.get(data.candidate, "")
    tasks = {task.name: task for task in data.facts}
    holding = {group.name: group for group in data.plan.groups if target in group.tasks}
    units: list[ComparisonDraft] = []
    for row in rows:
        if row.unit and row.level == Level.GROUP and row.task in holding:
            rest = next(of_group(holding[row.task], tasks, data.plan, without=target), None)
            units += [draft(data, rest)] if rest else []
        elif row.unit and row.task != target:
            units.append(row)
    return units


def suite_row(
    data: CandidateData,
    counting: Sequence[ComparisonDraft],
    units: Sequence[ComparisonDraft],
    level: float | None = None,
) -> ComparisonDraft:
    """Return the suite's row: the mean over the gate units that count, in their margins.

    It also describes the mean of those scored from 0 to 1, the share of skill that remains, and the median unit.
    `counting`: the units that count, without the target; `units`: all of them. `level`: coverage of its interval; None:
    the plan's.
    """
    plan, findings = data.plan, [each.finding for each in counting]
    level = plan.level if level is None else level
    scored = [each for each in counting if each.points and each.finding.mean is not None]
    mean = mean_difference([each.finding for each in scored], plan.level)
    carried = (Flag.INCOMPLETE, Flag.PROMPTS_DIFFER)
    flags = [flag for flag in carried if any(flag in each.flags for each in units)]
    if data.candidate not in plan.targets:
        flags.append(Flag.NO_TARGET)
    noise = _noise(counting)
    finding = widen(combine(findings, level), noise.bound if noise else 0.0)
    if not finding.can_retain and any(each.units and each.skill is None for each in findings):
        flags.append(Flag.CHANCE_UNKNOWN)
    return replace(
        _row((plan.suite_name or UNNAMED, Level.SUITE), counting, finding),
        unit=True,
        primary=True,
        judged=True,
        flags=tuple(flags),
        noise=noise,
        general=None
        if mean is None
        else MeanDifference(
            value=mean.value, low=mean.low, high=mean.high, units=len(scored), unable=sum(map(_base_unable, scored))
        ),
        retention=mean_share_kept(findings, plan.level),
        capped=_capped(finding),
        median=median_difference(findings),
    )


def _noise(rows: Sequence[ComparisonDraft]) -> NoiseLevel | None:
    """Return the mean noise over the units that have one, in margins."""
    counted = [row for row in rows if row.noise is not None and row.finding.mean is not None]
    return mean_noise([(row.noise, row.finding.margin) for row in counted if row.noise and row.finding.margin])


def _capped(suite: Finding) -> float | None:
    """Return the suite's difference with gains capped; None if no gain was capped."""
    if suite.capped is None or abs(suite.capped.estimate - suite.difference.value) < 1e-9:
        return None
    return suite.capped.estimate


def _base_unable(row: ComparisonDraft) -> bool:
    """Return whether the base shows no skill: it is at chance, gives one answer to everything, or gives none."""
    base = row.answers[0]
    return row.finding.at_chance or (base is not None and base.shows_nothing)


def family_rows(units: Sequence[ComparisonDraft], plan: ComparePlan) -> list[ComparisonDraft]:
    """Return the mean over each family's gate units, which only describes; empty if all units are of one family."""
    families = dict.fromkeys(row.family for row in units)
    members = {name: [row for row in units if row.family == name] for name in families if len(families) > 1}
    return [_of_family(name, of, plan) for name, of in members.items()]


def _of_family(name: str, of: Sequence[ComparisonDraft], plan: ComparePlan) -> ComparisonDraft:
    findings, noise = [row.finding for row in of], _noise(of)
    finding = replace(combine(findings, plan.level), margin=None, p_forgotten=None, p_retained=None)
    row = _row((name, Level.FAMILY), of, widen(finding, noise.bound if noise else 0.0))
    share_kept = mean_share_kept(findings, plan.level)
    return replace(row, noise=noise, watch=_least(of), retention=share_kept, median=median_difference(findings))


def _row(of: tuple[str, Level], rows: Sequence[ComparisonDraft], finding: Finding) -> ComparisonDraft:
    name, level = of
    return ComparisonDraft(
        task=name,
        family=name if level == Level.FAMILY else "suite",
        level=level,
        unit=False,
        metric=MARGINS,
        primary=False,
        judged=False,
        available=sum(row.available for row in rows),
        examples=sum(row.examples for row in rows if row.finding.mean is not None),
        flags=(),
        finding=finding,
    )


def _least(rows: Sequence[ComparisonDraft]) -> RoundsAsked | None:
    """Return how far the units of all these rows were asked; None if the run has no rounds."""
    watches = [row.watch for row in rows if row.watch is not None]
    return (
        RoundsAsked(
            rounds=min(watch.rounds for watch in watches), planned=sum(watch.planned for watch in watches), unit=None
        )
        if watches
        else None
    )
