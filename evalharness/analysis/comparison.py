"""Compare every candidate with the base: a row for each task, group, family or suite, and metric.

Every number is computed from the same units of both models. Random draws depend on the plan's seed, the task and the
metric, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalharness.analysis.candidate_data import candidate_data
from evalharness.analysis.early_stopping import suite_at_looks
from evalharness.analysis.rows import draft, unjudged
from evalharness.analysis.suite import family_rows, suite_row, without_target
from evalharness.analysis.verdicts import with_verdicts
from evalharness.interruption import stop_if_interrupted
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.measurements import Measurement, TaskFacts


def compare(
    facts: Sequence[TaskFacts], measurements: Sequence[Measurement], plan: ComparePlan, placebo: str | None = None
) -> tuple[Comparison, ...]:
    """Compare every candidate, then every reference model, with the base, and return the rows.

    The rows of a model are its tasks in the order of `facts`, groups, families if there are several, and the suite.
    `placebo`: the reference model that shows the engine's noise. Units that failed on either side are left out of both
    and flagged. Raises NotComparableError if two models did not get the same prompts, a measurement is missing or a row
    is not finite; TaskError if the tasks of a group that the gate judges cannot be pooled.
    """
    table = {(m.task, m.metric, m.model): m for m in measurements}
    comparisons: list[Comparison] = []
    for candidate in (*plan.candidates, *plan.references):
        data = candidate_data(candidate, facts, table, plan, placebo)
        rows = []
        for subject in data.subjects:
            stop_if_interrupted()
            rows.append(draft(data, subject))
        without = without_target(data, rows)
        suite = (
            suite_at_looks(data, rows) if plan.until_decided else suite_row(data, without, [r for r in rows if r.unit])
        )
        rows += [*family_rows(without, plan), suite]
        if candidate in plan.references:
            rows = [unjudged(row) for row in rows]
        comparisons += with_verdicts(rows, candidate, plan)
    return tuple(comparisons)


def target_gain(
    comparisons: Sequence[Comparison], candidate: str, target: str, facts: Sequence[TaskFacts] = ()
) -> tuple[Estimate | None, bool | None]:
    """Return the candidate's gain on its target (the task it was trained on), and whether it learned it.

    True: the lower end of the gain's interval is above the task's margin, and the lower end of its score's is above
    chance, if `facts` state chance (rising from below chance to guessing is no learning). False: the upper end of
    either is not. None: neither is shown, or there is no interval or margin. (None, None) if the target was not
    measured.
    """
    chances = {
        task.name: task.chance
        for task in facts
        if task.chance is not None
        and any(metric.id == task.primary and metric.higher_is_better for metric in task.metrics)
    }
    for row in comparisons:
        if (row.candidate, row.task, row.primary) == (candidate, target, True) and row.level != Level.SUITE:
            return row.difference, _learned(row, chances.get(target, -math.inf))
    return None, None


def _learned(row: Comparison, chance: float) -> bool | None:
    gain, score = row.difference, row.candidate_score
    if gain is None or gain.low is None or gain.high is None or row.margin is None or score is None:
        return None
    if gain.high <= row.margin or (score.high is not None and score.high <= chance):
        return False
    is_shown = gain.low > row.margin and (score.low is None or score.low > chance)
    return True if is_shown else None
