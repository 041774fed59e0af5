"""Measurements of a base and its candidates to comparisons: one row per candidate, task, group, family or suite, and metric.

Every number is computed from the same units of both models. Random draws depend on the plan's seed, the task and the metric, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evalharness import fingerprint
from evalharness.errors import NotComparableError, UsageError
from evalharness.pairing import Found, knows_chance, measures_of, member_metric, paired, points, pooled_metrics
from evalharness.records.findings import Comparison, Estimate, FlipShares, Level, MeanDifference, Verdict
from evalharness.records.measured import Measurement, MetricFacts, TaskFacts
from evalharness.records.tasks import Average, Group
from evalharness.stats.assess import Draw, Finding, Interval, Pairs, assess
from evalharness.stats.multiplicity import benjamini_hochberg, holm
from evalharness.stats.pooling import pooled
from evalharness.stats.suite import combine, mean_difference
from evalharness.stats.verdict import SKILL_SHARE, decide

UNNAMED = "suite"  # the suite unit of tasks that no suite names
PARTS = ("p_forgotten", "p_difference")  # what is adjusted of the parts of gate units


@dataclass(frozen=True, slots=True)
class ComparePlan:
    """What is compared with what. `targets`: candidate -> the task it was trained on; `margins`: task or group -> margin instead of its own.
    Raises UsageError for an alpha outside (0, .5) or a margin that is negative or not a number.
    """

    base: str
    candidates: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    suite_name: str | None = None
    suite_margin: float = 0.02
    margins: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    seed: int = 1234
    describing: tuple[str, ...] = ()  # tasks and groups that get rows and no verdict: other ways of asking what other tasks ask
    average: Average | None = None  # the suite's published one
    references: tuple[str, ...] = ()  # models that are compared like candidates and never judged

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise UsageError("alpha", f"{self.alpha} is no error rate", "a number between 0 and 0.5, such as 0.05")
        for name, margin in {**self.margins, "the suite": self.suite_margin}.items():
            if not (math.isfinite(margin) and margin >= 0):
                raise UsageError("margin", f"{margin} of {name} is no acceptable loss", "a number that is not negative")

    @property
    def level(self) -> float:
        """Coverage of the intervals, each end of which is a one-sided bound at level 1 − alpha."""
        return 1 - 2 * self.alpha


def asked_margins(facts: Sequence[TaskFacts], groups: Sequence[Group], everywhere: float | None, named: Mapping[str, float]) -> dict[str, float]:
    """Margins as a user asks for them: one for every task and group whose deciding metric is on a 0-1 scale, and single ones by name."""
    if everywhere is None:
        return dict(named)
    on_unit_scale = [fact.name for fact in facts for metric in fact.metrics if metric.id == fact.primary and metric.high == 1.0]
    grouped = [group.name for group in groups if all(member_metric(group, fact).high == 1.0 for fact in facts if fact.name in group.tasks)]
    return {**dict.fromkeys([*on_unit_scale, *grouped], everywhere), **named}


@dataclass(frozen=True, slots=True)
class _Row:
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


def compare(facts: Sequence[TaskFacts], measurements: Sequence[Measurement], plan: ComparePlan) -> tuple[Comparison, ...]:
    """All rows of every candidate, then of every reference: tasks in the order of `facts`, groups, families where there are several, the suite.

    Units that failed on either side are left out of both and flagged. Raises NotComparableError where two models were not asked the same, where a
    measurement is missing or a row is not finite, and TaskError where the tasks of a gate unit cannot be pooled.
    """
    found = {(m.task, m.metric, m.model): m for m in measurements}
    comparisons: list[Comparison] = []
    for candidate in (*plan.candidates, *plan.references):
        tasks = {task.name: task for task in facts if _was_asked(task, candidate, found, plan)}
        groups = [group for group in plan.groups if any(name in tasks for name in group.tasks)]
        grouped = {name for group in groups if group.unit for name in group.tasks}
        rows = [_task_row(task, metric, candidate, found, plan, task.name not in grouped) for task in tasks.values() for metric in task.metrics]
        for group in groups:
            rows += _group_rows(group, tasks, candidate, found, plan)
        kept = _untrained(rows, groups, tasks, candidate, found, plan)
        rows += [*_family_rows(kept, plan), _suite_row(kept, [row for row in rows if row.unit], plan)]
        comparisons += _concluded([_unjudged(row) for row in rows] if candidate in plan.references else rows, candidate, plan)
    return tuple(comparisons)


def target_gain(
    comparisons: Sequence[Comparison], candidate: str, target: str, facts: Sequence[TaskFacts] = ()
) -> tuple[Estimate | None, bool | None]:
    """The candidate's gain on the task it was trained on, and whether it learned it: the interval's lower end is above the task's margin, and that
    of its score above chance, where `facts` tell it: who comes from below chance up to guessing has learned nothing.

    (None, None) where the target was not compared; no answer to the second where there is no interval or no margin to tell it by.
    """
    chances = {task.name: task.chance for task in facts if any(metric.id == task.primary and metric.higher_is_better for metric in task.metrics)}
    for row in comparisons:
        if (row.candidate, row.task, row.primary) == (candidate, target, True) and row.level != "suite":
            gain, low = row.difference, row.candidate_score.low
            if gain.low is None or row.margin is None:
                return gain, None
            return gain, gain.low > row.margin and (low is None or low > chances.get(target, -math.inf))
    return None, None


def _was_asked(task: TaskFacts, candidate: str, found: Found, plan: ComparePlan) -> bool:
    """Ways of asking that only describe may have been asked of some candidates alone."""
    there = any((task.name, metric.id, candidate) in found for metric in task.metrics)
    return there or task.name not in plan.describing or bool(task.failed.get(candidate))


# ---- what is compared ------------------------------------------------------------------------------------------------


def _task_row(task: TaskFacts, metric: MetricFacts, candidate: str, found: Found, plan: ComparePlan, unit: bool) -> _Row:
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
    return _Row(task.name, task.family, "task", judged and unit, metric.id, primary, judged, task.available, flags, finding, **measures)


def _group_rows(group: Group, tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan, without: str = "") -> list[_Row]:
    """Rows of a group's pooled units, by the metric that decides first and then by those that describe.

    None where nothing is left `without` a task, or where a group that only describes cannot be pooled.
    """
    members = [tasks[name] for name in group.tasks if name in tasks and name != without]
    rows: list[_Row] = []
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
        row = _Row(group.name, group.family, "group", group.unit and judged, metric, judged, judged, available, flags, finding, **measures)
        rows.append(row)
    return rows


def check_groups(facts: Sequence[TaskFacts], groups: Sequence[Group]) -> None:
    """Can every group that is a gate unit be pooled? To be asked before anything is answered. Raises TaskError."""
    tasks = {task.name: task for task in facts}
    for group in groups:
        pooled_metrics(group, [tasks[name] for name in group.tasks if name in tasks])


def _untrained(
    rows: Sequence[_Row], groups: Sequence[Group], tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan
) -> list[_Row]:
    """The gate units without what the candidate was trained on; a group that holds that is pooled again without it."""
    target = plan.targets.get(candidate, "")
    holding = {group.name: group for group in groups if target in group.tasks}
    kept: list[_Row] = []
    for row in rows:
        if row.unit and row.level == "group" and row.task in holding:
            kept += _group_rows(holding[row.task], tasks, candidate, found, plan, without=target)[:1]
        elif row.unit and row.task != target:
            kept.append(row)
    return kept


def _suite_row(kept: Sequence[_Row], units: Sequence[_Row], plan: ComparePlan) -> _Row:
    """The mean over the gate units that were kept, in units of skill, without those at chance; beside it the mean of all of them in points."""
    name = plan.suite_name or UNNAMED
    row = _mean_row(name, "suite", kept, plan)
    flags = [*row.flags, *(flag for flag in ("incomplete", "prompts_differ") if any(flag in each.flags for each in units))]
    scored = [each.finding for each in kept if each.points and each.finding.bootstrap is not None]
    mean = mean_difference(scored, plan.level, _draws(plan, name, "points")("suite"))
    return replace(row, unit=True, primary=True, judged=True, flags=tuple(flags), general=MeanDifference(*mean, len(scored)) if mean else None)


def _family_rows(kept: Sequence[_Row], plan: ComparePlan) -> list[_Row]:
    """The same mean over each family's gate units, which describes; none where all are of one family."""
    families = dict.fromkeys(row.family for row in kept)
    rows = [_mean_row(name, "family", [row for row in kept if row.family == name], plan) for name in families if len(families) > 1]
    return [replace(row, finding=_undecided(row.finding)) for row in rows]


def _mean_row(name: str, level: Level, kept: Sequence[_Row], plan: ComparePlan) -> _Row:
    skilled = [row for row in kept if not row.finding.at_chance and row.finding.units >= 2]
    finding = combine([row.finding for row in skilled], plan.suite_margin, plan.level, _draws(plan, name, "skill")(level))
    flags = ("base_at_chance",) if not skilled and any(row.finding.at_chance and row.finding.units for row in kept) else ()
    family, available = name if level == "family" else "suite", sum(row.available for row in skilled)
    return _Row(name, family, level, False, "skill", False, False, available, flags, finding)


def _undecided(finding: Finding) -> Finding:
    return replace(finding, margin=None, p_forgotten=None, p_retained=None, few_changes=False)


def _unjudged(row: _Row) -> _Row:
    """The same without anything that could decide."""
    finding = replace(row.finding, margin=None, p_forgotten=None, p_retained=None)
    return replace(row, unit=False, judged=False, flags=tuple(flag for flag in row.flags if flag != "base_at_chance"), finding=finding)


def _draws(plan: ComparePlan, task: str, metric: str) -> Draw:
    """Generators for one comparison. They know no candidate's name: renaming moves no number, and all candidates see the same resamples."""
    return lambda purpose: np.random.default_rng(int(fingerprint.of_value([plan.seed, task, metric, purpose])[:16], 16))


def _assessed(pairs: Pairs, plan: ComparePlan, task: str, metric: str) -> Finding:
    finding = assess(pairs, plan.level, _draws(plan, task, metric))
    if not all(math.isfinite(number) for number in (*finding.base, *finding.candidate, *finding.difference) if number is not None):
        raise NotComparableError(task, f"{metric} is not a finite number", "it must have a value for every sum of rows")
    return finding


# ---- verdicts --------------------------------------------------------------------------------------------------------


def _data_flags(tasks: Sequence[TaskFacts], candidate: str, base: str, dropped: bool) -> tuple[str, ...]:
    unparsed = any(task.unparsed.get(model, 0) for task in tasks for model in (base, candidate))
    incomplete = dropped or any(task.failed.get(model, 0) for task in tasks for model in (base, candidate))
    differ = any(task.prompts.get(candidate, task.prompts_digest) != task.prompts.get(base, task.prompts_digest) for task in tasks)
    shown = {"truncated": any(task.truncated for task in tasks), "unparsed": unparsed, "incomplete": incomplete, "prompts_differ": differ}
    return tuple(flag for flag, is_set in shown.items() if is_set)


def _concluded(rows: Sequence[_Row], candidate: str, plan: ComparePlan) -> list[Comparison]:
    """Holm over the gate units without the suite, Benjamini and Hochberg over their parts, then a verdict for every judged row."""
    family = [i for i, row in enumerate(rows) if row.unit and row.level != "suite"]
    adjusted = dict(zip(family, holm([rows[i].finding.p_forgotten or 0.0 for i in family]), strict=True))
    adjusted |= {i: row.finding.p_forgotten or 0.0 for i, row in enumerate(rows) if row.unit and row.level == "suite"}
    tests = dict.fromkeys(family, max(1, len(family)))
    found = [_comparison(row, candidate, plan, adjusted.get(i), tests.get(i, 1)) for i, row in enumerate(rows)]
    found = [replace(row, adjustment="Holm") if i in tests else row for i, row in enumerate(found)]
    drills = [i for i, row in enumerate(rows) if row.drill]
    for i, p_forgotten, p_difference in zip(drills, *(_q([getattr(found[i], p) for i in drills]) for p in PARTS), strict=True):
        found[i] = replace(found[i], adjustment="Benjamini-Hochberg", q_forgotten=p_forgotten, q_difference=p_difference)
    return found


def _q(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's over those that there are."""
    there = [i for i, p in enumerate(p_values) if p is not None]
    adjusted = dict(zip(there, benjamini_hochberg([p for p in p_values if p is not None]), strict=True))
    return [adjusted.get(i) for i in range(len(p_values))]


def _comparison(row: _Row, candidate: str, plan: ComparePlan, adjusted: float | None, tests: int) -> Comparison:
    """`adjusted`: p_forgotten within its family, None for rows outside it; `tests`: how many there are in the family."""
    finding = row.finding
    verdict: Verdict | None = None
    needed, flags = None, list[str]()
    if row.judged and finding.margin is not None and finding.p_forgotten is not None and finding.p_retained is not None:
        at_chance = finding.at_chance and finding.units > 0
        can_retain = finding.margin <= SKILL_SHARE * finding.skill + 1e-12
        p_forgotten = finding.p_forgotten if adjusted is None else adjusted
        verdict = decide(p_forgotten, finding.p_retained, plan.alpha, units=finding.units, can_retain=can_retain, at_chance=at_chance)
        if verdict == "inconclusive" and not at_chance:
            needed = finding.examples_needed((plan.alpha / tests, plan.alpha if can_retain else 0.0))
        flags += ["forgotten_unadjusted"] if finding.p_forgotten <= plan.alpha < p_forgotten else []
        flags += ["base_at_chance"] if at_chance else []
        flags += ["margin_exceeds_skill"] if finding.units and not (can_retain or at_chance) else []
    low, high = finding.difference.low, finding.difference.high
    flags += ["drop_detected"] if high is not None and high < 0 and verdict != "forgotten" else []
    flags += ["improved"] if low is not None and low > 0 else []
    flags += ["few_changes"] if finding.few_changes else []
    return Comparison(
        task=row.task, family=row.family, level=row.level, unit=row.unit, metric=row.metric, primary=row.primary, candidate=candidate,
        n=finding.units, base=Estimate(*finding.base), candidate_score=Estimate(*finding.candidate), difference=Estimate(*finding.difference),
        ci_level=plan.level, lost=finding.lost, gained=finding.gained, p_forgotten=finding.p_forgotten, p_forgotten_adjusted=adjusted,
        p_retained=finding.p_retained, p_difference=finding.p_difference, margin=finding.margin, verdict=verdict,
        flags=(*flags, *row.flags), examples_needed=needed, available=row.available,
        retention=None if row.retention is None else Estimate(*row.retention), flips=row.flips, general=row.general,
    )  # fmt: skip
