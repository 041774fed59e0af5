"""Compute a suite's published average for each candidate; it describes and never decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate, Flag, Level
from evalharness.records.measurements import TaskFacts
from evalharness.records.tasks import Average

ByMetric = Mapping[tuple[str, str], Comparison]  # by (task, metric)
CARRIED = (Flag.INCOMPLETE, Flag.PROMPTS_DIFFER)  # flags of a task that hold for the average


def missing_for_average(average: Average, facts: Sequence[TaskFacts]) -> list[str]:
    """Return the tasks and metrics that the published average needs and a run does not measure; empty if none is
    missing.
    """
    tasks = {fact.name: fact for fact in facts}
    reasons = []
    for name, metric in _cells(average):
        task = tasks.get(name)
        scored = None if task is None else next((each for each in task.metrics if each.id == metric), None)
        if task is None:
            reasons.append(name)
        elif scored is None:
            reasons.append(f"{metric} of {name}")
        elif not scored.higher_is_better:
            reasons.append(f"{name}: {metric} is better when lower")
        elif average.normalised and metric != task.primary:
            reasons.append(f"chance of {metric} of {name}")
        elif average.normalised and (task.chance is None or scored.high is None):
            reasons.append(f"{'chance' if task.chance is None else 'the best score'} of {name}, which is unknown")
        elif average.normalised and task.chance is not None and task.chance >= scored.ends[1]:
            reasons.append(f"{name}: guessing is always right")
    return list(dict.fromkeys(reasons))


def average_notices(plan: ComparePlan, facts: Sequence[TaskFacts]) -> tuple[str, ...]:
    """Return a notice that the suite's published average is left out because the run lacks something; empty if it does
    not.
    """
    absent = missing_for_average(plan.average, facts) if plan.average else []
    if plan.average is None or not absent:
        return ()
    what = f"this run does not measure {', '.join(absent)} as it is published"
    return (f"{plan.average.name} is left out: {what}",)


def with_average(
    comparisons: Sequence[Comparison], facts: Sequence[TaskFacts], average: Average | None, suite: str | None
) -> tuple[Comparison, ...]:
    """Add a row with the suite's published average after each candidate's comparisons: of level "suite", with the
    average's name as its metric.

    There is no row if `missing_for_average` names anything, or if a task of the average has no answered example or was
    stopped early, since an average over less than was published must not carry its name. Base, candidate and difference
    have no intervals: those are the suite unit's.
    """
    if average is None or missing_for_average(average, facts):
        return tuple(comparisons)
    rows_and_averages: list[Comparison] = []
    for candidate in dict.fromkeys(row.candidate for row in comparisons):
        own = [row for row in comparisons if row.candidate == candidate]
        rows = {(row.task, row.metric): row for row in own if row.level == Level.TASK}
        rows_and_averages += own
        if all(cell in rows and rows[cell].n and not _stopped(rows[cell]) for cell in _cells(average)):
            rows_and_averages.append(_row(average, rows, {fact.name: fact for fact in facts}, suite or average.name))
    return tuple(rows_and_averages)


def _stopped(row: Comparison) -> bool:
    return row.stopping is not None and row.stopping.stopped


def _row(average: Average, rows: ByMetric, facts: Mapping[str, TaskFacts], suite: str) -> Comparison:
    base, candidate = (_value(average, rows, facts, side) for side in ("base", "candidate_score"))
    rows_averaged = [rows[cell] for cell in _cells(average)]
    tasks = list({row.task: row for row in rows_averaged}.values())
    return Comparison(
        task=suite,
        family="suite",
        level=Level.SUITE,
        unit=False,
        metric=average.name,
        primary=False,
        candidate=rows_averaged[0].candidate,
        n=sum(row.n for row in tasks),
        base=Estimate(value=base),
        candidate_score=Estimate(value=candidate),
        difference=Estimate(value=candidate - base),
        ci_level=rows_averaged[0].ci_level,
        flags=tuple(flag for flag in CARRIED if any(flag in row.flags for row in rows_averaged)),
        available=sum(row.available for row in tasks),
        human=average.human,
    )


def _value(average: Average, rows: ByMetric, facts: Mapping[str, TaskFacts], side: str) -> float:
    """Return the plain mean over entries of the mean over an entry's metrics, each the mean over its tasks."""
    entries = []
    for names, metrics in average.over.items():
        by_metric = [
            _mean([_score(average, rows[name, metric], facts[name], side) for name in names.split("+")])
            for metric in metrics
        ]
        entries.append(_mean(by_metric))
    return _mean(entries)


def _score(average: Average, row: Comparison, task: TaskFacts, side: str) -> float:
    """Return a task's score. If the average is normalised, return its place between chance (0) and the best possible
    score (1).
    """
    score = float(getattr(row, side).value)
    if not average.normalised or task.chance is None:
        return score
    best = next(metric.ends[1] for metric in task.metrics if metric.id == row.metric)
    return (score - task.chance) / (best - task.chance)


def _cells(average: Average) -> list[tuple[str, str]]:
    """Return every (task, metric) that the average includes."""
    return [
        (name, metric) for names, metrics in average.over.items() for metric in metrics for name in names.split("+")
    ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
