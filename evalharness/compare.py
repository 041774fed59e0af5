"""Measurements of a base and its candidates to comparisons: one row per candidate, task, group or suite, and metric.

Every number is computed from the same units of both models. Random draws depend on the plan's seed, the task and the metric, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evalharness import fingerprint
from evalharness.errors import NotComparableError, TaskError, UsageError
from evalharness.metrics.base import from_facts
from evalharness.records import Average, Comparison, Estimate, Group, Level, Measurement, MetricFacts, TaskFacts, Verdict
from evalharness.stats.assess import Draw, Finding, Interval, Pairs, assess
from evalharness.stats.matching import match
from evalharness.stats.multiplicity import holm
from evalharness.stats.pooling import pooled
from evalharness.stats.suite import combine
from evalharness.stats.verdict import SKILL_SHARE, decide

UNNAMED = "suite"  # the suite unit of tasks that no suite names

Found = Mapping[tuple[str, str, str], Measurement]  # by (task, metric, model)


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
    grouped = [group.name for group in groups if all(_member_metric(group, fact).high == 1.0 for fact in facts if fact.name in group.tasks)]
    return {**dict.fromkeys([*on_unit_scale, *grouped], everywhere), **named}


@dataclass(frozen=True, slots=True)
class _Row:
    """A comparison in the making. `judged`: it gets a verdict; `flags`: what befell the data."""

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


def compare(facts: Sequence[TaskFacts], measurements: Sequence[Measurement], plan: ComparePlan) -> tuple[Comparison, ...]:
    """All rows of every candidate, then of every reference: tasks in the order of `facts`, then groups, then the suite.

    Units that failed on either side are left out of both and flagged. Raises NotComparableError where two models were not asked the same, where a
    measurement is missing or a row is not finite, and TaskError where the tasks of a gate unit cannot be pooled.
    """
    found = {(m.task, m.metric, m.model): m for m in measurements}
    tasks = {task.name: task for task in facts}
    groups = [group for group in plan.groups if any(name in tasks for name in group.tasks)]
    grouped = {name for group in groups if group.unit for name in group.tasks}
    comparisons: list[Comparison] = []
    for candidate in (*plan.candidates, *plan.references):
        rows = [_task_row(task, metric, candidate, found, plan, task.name not in grouped) for task in facts for metric in task.metrics]
        for group in groups:
            rows += _group_rows(group, tasks, candidate, found, plan)
        rows.append(_suite_row(rows, groups, tasks, candidate, found, plan))
        comparisons += _concluded([_unjudged(row) for row in rows] if candidate in plan.references else rows, candidate, plan)
    return tuple(comparisons)


def target_gain(comparisons: Sequence[Comparison], candidate: str, target: str) -> tuple[Estimate | None, bool | None]:
    """The candidate's gain on the task it was trained on, and whether it learned it: the interval's lower end is above the task's margin.

    (None, None) where the target was not compared; no answer to the second where there is no interval or no margin to tell it by.
    """
    for row in comparisons:
        if (row.candidate, row.task, row.primary) == (candidate, target, True) and row.level != "suite":
            gain = row.difference
            return gain, None if gain.low is None or row.margin is None else gain.low > row.margin
    return None, None


# ---- what is compared ------------------------------------------------------------------------------------------------


def _task_row(task: TaskFacts, metric: MetricFacts, candidate: str, found: Found, plan: ComparePlan, unit: bool) -> _Row:
    primary = metric.id == task.primary
    judged = primary and metric.kind != "opaque" and task.name not in plan.describing
    if metric.kind == "opaque":
        finding, dropped = _points(task, metric, candidate, found, plan)
    else:
        pairs, dropped = _paired(task, metric, candidate, found, plan)
        pairs = replace(pairs, margin=plan.margins.get(task.name, task.margin) if judged else None)
        finding = _assessed(pairs, plan, task.name, metric.id)
    flags = _data_flags([task], candidate, plan.base, dropped)
    return _Row(task.name, task.family, "task", judged and unit, metric.id, primary, judged, task.available, flags, finding)


def _group_rows(group: Group, tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan, without: str = "") -> list[_Row]:
    """Rows of a group's pooled units, by the metric that decides first and then by those that describe.

    None where nothing is left `without` a task, or where a group that only describes cannot be pooled.
    """
    members = [tasks[name] for name in group.tasks if name in tasks and name != without]
    rows: list[_Row] = []
    for wanted in (group.metric, *group.also):
        if not (metrics := _pooled_metrics(replace(group, metric=wanted, unit=group.unit and wanted == group.metric), members)):
            continue
        paired = [_paired(task, metric, candidate, found, plan) for task, metric in zip(members, metrics, strict=True)]
        judged = group.name not in plan.describing and wanted == group.metric
        whole = pooled([pairs for pairs, _ in paired], plan.margins.get(group.name, group.margin) if judged else None, group.macro)
        metric = wanted if any(each.id == wanted for each in metrics) else metrics[0].id
        finding = _assessed(whole, plan, group.name, metric)
        flags = _data_flags(members, candidate, plan.base, any(dropped for _, dropped in paired))
        available = sum(task.available for task in members)
        rows.append(_Row(group.name, group.family, "group", group.unit and judged, metric, judged, judged, available, flags, finding))
    return rows


def check_groups(facts: Sequence[TaskFacts], groups: Sequence[Group]) -> None:
    """Can every group that is a gate unit be pooled? To be asked before anything is answered. Raises TaskError."""
    tasks = {task.name: task for task in facts}
    for group in groups:
        _pooled_metrics(group, [tasks[name] for name in group.tasks if name in tasks])


def _pooled_metrics(group: Group, members: Sequence[TaskFacts]) -> list[MetricFacts]:
    """The metric of each member by which the group's rows are added; none where a group that only describes cannot be pooled."""
    metrics = [_member_metric(group, task) for task in members]
    if (poolable := _poolable(metrics, group.macro)) or not group.unit:
        return metrics if poolable else []
    what = "its tasks cannot be pooled: they are scored by " + ", ".join(sorted({metric.id for metric in metrics}))
    raise TaskError(f"group {group.name}", what, "give them one metric whose rows can be added, or let the group only describe (unit: false)")


def _suite_row(
    rows: Sequence[_Row], groups: Sequence[Group], tasks: Mapping[str, TaskFacts], candidate: str, found: Found, plan: ComparePlan
) -> _Row:
    """The mean over gate units in units of skill, without those at chance and without what the candidate was trained on."""
    target = plan.targets.get(candidate, "")
    holding = {group.name: group for group in groups if target in group.tasks}
    units = [row for row in rows if row.unit]
    kept: list[_Row] = []
    for row in units:
        if row.level == "group" and row.task in holding:
            kept += _group_rows(holding[row.task], tasks, candidate, found, plan, without=target)[:1]
        elif row.task != target:
            kept.append(row)
    skilled = [row for row in kept if not row.finding.at_chance and row.finding.units >= 2]
    name = plan.suite_name or UNNAMED
    finding = combine([row.finding for row in skilled], plan.suite_margin, plan.level, _draws(plan, name, "skill")("suite"))
    flags = ["base_at_chance"] if not skilled and any(row.finding.at_chance and row.finding.units for row in kept) else []
    flags += [flag for flag in ("incomplete", "prompts_differ") if any(flag in row.flags for row in units)]
    return _Row(name, "suite", "suite", True, "skill", True, True, sum(row.available for row in skilled), tuple(flags), finding)


def _unjudged(row: _Row) -> _Row:
    """The same without anything that could decide."""
    finding = replace(row.finding, margin=None, p_forgotten=None, p_retained=None)
    return replace(row, unit=False, judged=False, flags=tuple(flag for flag in row.flags if flag != "base_at_chance"), finding=finding)


# ---- pairing ---------------------------------------------------------------------------------------------------------


def _measurement(task: TaskFacts, metric: MetricFacts, model: str, found: Found) -> Measurement:
    """One model's measurement, empty where all of its examples failed. Raises NotComparableError where there is none."""
    measurement = found.get((task.name, metric.id, model))
    if measurement is not None:
        return measurement
    if task.failed.get(model):
        return Measurement(task.name, metric.id, model, (), (), np.zeros((0, 2)))
    raise NotComparableError(task.name, f"{model} has no scores by {metric.id}", "evaluate both models on this task")


def _paired(task: TaskFacts, metric: MetricFacts, candidate: str, found: Found, plan: ComparePlan) -> tuple[Pairs, bool]:
    """Rows of the units that both models answered in full, without a margin, and whether units were left out for it."""
    base, other = (_measurement(task, metric, model, found) for model in (plan.base, candidate))
    failed = {model: task.failed.get(model, 0) for model in (plan.base, candidate)}
    try:
        matched = match(base.units, base.sizes, other.units, other.sizes)
    except ValueError as error:
        raise NotComparableError(task.name, f"{error} in the scores by {metric.id}", "unit ids must be distinct") from error
    unexplained = matched.uneven > sum(failed.values())
    if unexplained or matched.first_lacks > failed[plan.base] or matched.second_lacks > failed[candidate]:
        fix = "evaluate both with the same task files, data, shots, limit and seed"
        raise NotComparableError(task.name, f"{plan.base} and {candidate} were not asked the same prompts/examples", fix)
    if not (np.isfinite(base.rows).all() and np.isfinite(other.rows).all()):
        raise NotComparableError(task.name, f"a row of {metric.id} is not a finite number", "evaluate again; an answer that failed has no row")
    width = max(base.rows.shape[-1], other.rows.shape[-1])
    rows = [m.rows[at] if len(at) else np.zeros((0, width)) for m, at in ((base, matched.first), (other, matched.second))]
    sizes = np.asarray(base.sizes, dtype=np.float64)[matched.first]
    sign, kind = (1.0 if metric.higher_is_better else -1.0), (metric.kind if metric.kind in ("binary", "graded") else "corpus")
    pairs = Pairs(rows[0], rows[1], sizes, from_facts(metric).score, kind, metric.low, metric.high, sign, task.chance, None)
    return pairs, matched.first_lacks + matched.second_lacks + matched.uneven > 0


def _points(task: TaskFacts, metric: MetricFacts, candidate: str, found: Found, plan: ComparePlan) -> tuple[Finding, bool]:
    """An opaque metric has values and nothing that could be resampled."""
    base, other = (_measurement(task, metric, model, found) for model in (plan.base, candidate))
    units = len(set(base.units) & set(other.units))
    missing = base.point is None or other.point is None
    units, values = (0, (0.0, 0.0)) if missing else (units, (base.point or 0.0, other.point or 0.0))
    sign = 1.0 if metric.higher_is_better else -1.0
    difference = Interval(sign * (values[1] - values[0]))
    return Finding(units, Interval(values[0]), Interval(values[1]), difference, None, sign * (values[0] - task.chance), False), units == 0


def _member_metric(group: Group, task: TaskFacts) -> MetricFacts:
    """The group's metric where the task has it, else the one that decides the task."""
    by_id = {metric.id: metric for metric in task.metrics}
    return by_id.get(group.metric) or by_id[task.primary]


def _poolable(metrics: Sequence[MetricFacts], macro: bool) -> bool:
    """Means on one scale can be pooled; corpus metrics only with themselves, and not so that every task weighs the same."""
    means = all(metric.kind in ("binary", "graded") for metric in metrics)
    scales = {(metric.low, metric.high, metric.higher_is_better) for metric in metrics}
    same = all((metric.kind, metric.name, metric.options) == ("corpus", metrics[0].name, metrics[0].options) for metric in metrics)
    return len(scales) == 1 and (means or (same and not macro))


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
    """Holm over the gate units without the suite, then a verdict for every judged row."""
    family = [i for i, row in enumerate(rows) if row.unit and row.level != "suite"]
    adjusted = dict(zip(family, holm([rows[i].finding.p_forgotten or 0.0 for i in family]), strict=True))
    adjusted |= {i: row.finding.p_forgotten or 0.0 for i, row in enumerate(rows) if row.unit and row.level == "suite"}
    tests = dict.fromkeys(family, max(1, len(family)))
    return [_comparison(row, candidate, plan, adjusted.get(i), tests.get(i, 1)) for i, row in enumerate(rows)]


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
    )  # fmt: skip
