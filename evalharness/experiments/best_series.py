"""Mark the series of a sweep that are not worse than the best one by paired comparisons on test rows.

A series is one method (and rank) with its chosen learning rate, over all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from evalharness.analysis.pairing import pairs_of
from evalharness.metrics.build import from_facts
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.report.sweep import Sweep
from evalharness.stats.assess import assess
from evalharness.stats.enums import MetricKind
from evalharness.stats.resample import Floats

RULE = (
    "Marked ●: not separated from the best by {metric}; the {level} interval (Bonferroni over {n}) of the difference "
    "to it, paired row by row on test rows with seeds averaged, does not lie below 0."
)


def with_best(sweep: Sweep, run: MeasuredRun) -> Sweep:
    """Add to a sweep its best series, and those whose difference to it by the target's primary metric may be 0."""
    task = next((facts for facts in run.facts if facts.name == sweep.task), None)
    if task is None or len(sweep.chosen) < 2:
        return replace(sweep, best=(), best_rule="")
    metric = next(each for each in task.metrics if each.id == task.primary)
    if metric.kind == MetricKind.OPAQUE:
        return replace(sweep, best=(), best_rule=f"No series is marked: {metric.id} has no interval.")
    rows = _averaged(sweep, task, metric, run)
    if rows is None:
        return replace(sweep, best=(), best_rule="No series is marked: not all were answered on the same rows.")
    return replace(
        sweep, best=_unseparated(rows, task, metric, run.plan.alpha), best_rule=_rule(metric, len(rows), run)
    )


def _rule(metric: MetricFacts, series: int, run: MeasuredRun) -> str:
    comparisons = f"{series - 1} comparison{'s' * (series > 2)}"
    return RULE.format(metric=metric.id, level=f"{100 * (1 - run.plan.alpha):g} %", n=comparisons)


def _averaged(sweep: Sweep, task: TaskFacts, metric: MetricFacts, run: MeasuredRun) -> dict[str, Floats] | None:
    """Return series -> its rows (n, width), the mean over its seeds; None if the units differ."""
    table: Mapping[str, Measurement] = {
        each.model: each for each in run.measurements if (each.task, each.metric) == (task.name, metric.id)
    }
    names = [name for choice in sweep.chosen for name in choice.names]
    if len({table[name].units if name in table else None for name in names} | {None}) != 2:
        return None
    if not all(name in table for name in names):
        return None
    return {choice.series: np.mean([table[name].rows for name in choice.names], axis=0) for choice in sweep.chosen}


def _unseparated(rows: Mapping[str, Floats], task: TaskFacts, metric: MetricFacts, alpha: float) -> tuple[str, ...]:
    """List the best series, then those whose difference to it has an interval that reaches 0."""
    scorer, sign = from_facts(metric), 1.0 if metric.higher_is_better else -1.0
    scores = {series: sign * float(scorer.score(of.sum(axis=0))) for series, of in rows.items()}
    best = max(scores, key=lambda series: scores[series])
    whole = all(np.array_equal(of, np.round(of)) for of in rows.values())
    if metric.kind == MetricKind.BINARY and not whole:  # the mean of 0/1 answers over seeds is no 0/1 answer
        metric = replace(metric, kind=MetricKind.GRADED)
    level, near = 1 - alpha / (len(rows) - 1), [best]
    for series in rows:
        if series != best:
            pairs = pairs_of((task, metric), rows[best], rows[series], np.ones(len(rows[best])))
            high = assess(pairs, level, np.random.default_rng(0), swaps=1).difference.high
            near += [series] if high is None or high >= 0 else []
    return tuple(near)
