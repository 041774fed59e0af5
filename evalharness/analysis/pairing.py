"""Pair the rows of the units that two models both answered, and describe retention and flips on them.

A unit is a question or passage with its rows; a flip is an answer that is right for one model and wrong for the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.errors import NotComparableError
from evalharness.metrics.build import from_facts
from evalharness.records.comparison import Estimate, FlipShares
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.stats.assess import Finding
from evalharness.stats.early_stopping import ROUNDS, round_of
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, match_units
from evalharness.stats.resample import Floats
from evalharness.stats.retention import Flips, chance_adjusted_flips, retention
from evalharness.tasks.metadata import ACCURACIES

MeasurementTable = Mapping[tuple[str, str, str], Measurement]  # by (task, metric, model)
Sides = tuple[str, str]  # names of the base and the candidate


def _measurement(task: TaskFacts, metric: MetricFacts, model: str, table: MeasurementTable) -> Measurement:
    """Return one model's measurement, empty if all of its examples failed. Raises NotComparableError if there
    is none.
    """
    measurement = table.get((task.name, metric.id, model))
    if measurement is not None:
        return measurement
    if task.failed.get(model):
        return Measurement(task=task.name, metric=metric.id, model=model, units=(), sizes=(), rows=np.zeros((0, 2)))
    raise NotComparableError(task.name, f"{model} has no scores by {metric.id}", "evaluate both models on this task")


def pair_rows(
    task: TaskFacts, metric: MetricFacts, sides: Sides, table: MeasurementTable, seed: int | None = None
) -> tuple[Pairs, bool]:
    """Pair the rows of the units that both models answered in full, without a margin; also return whether others were
    dropped.

    `seed`: that of the rounds, if a run may have been stopped early: then the rows are of the rounds that both models
    were asked, in the order of the rounds. None: the run has no rounds.
    """
    base, other = (_measurement(task, metric, model, table) for model in sides)
    if seed is not None:
        base, other = (asked_of_both(task, sides, of, seed) for of in (base, other))
    if sides[1] in task.partly:
        base = rows_of_units(base, np.flatnonzero(np.isin(base.units, other.units)))
    failed = {model: task.failed.get(model, 0) for model in sides}
    try:
        matched = match_units(base.units, base.sizes, other.units, other.sizes)
    except ValueError as error:
        raise NotComparableError(
            task.name, f"{error} in the scores by {metric.id}", "unit ids must be distinct"
        ) from error
    unexplained = matched.uneven > sum(failed.values())
    if unexplained or matched.first_lacks > failed[sides[0]] or matched.second_lacks > failed[sides[1]]:
        fix = "evaluate both with the same task files, data, shots, limit and seed"
        raise NotComparableError(task.name, f"{sides[0]} and {sides[1]} were not asked the same prompts/examples", fix)
    if not (np.isfinite(base.rows).all() and np.isfinite(other.rows).all()):
        raise NotComparableError(
            task.name,
            f"a row of {metric.id} is not a finite number",
            "evaluate again; an answer that failed has no row",
        )
    width = max(base.rows.shape[-1], other.rows.shape[-1])
    of_base, of_other = (
        m.rows[at] if len(at) else np.zeros((0, width)) for m, at in ((base, matched.first), (other, matched.second))
    )
    sizes = np.asarray(base.sizes, dtype=np.float64)[matched.first]
    order = None if seed is None else unit_order(seed, task.name, base.units)[matched.first]
    dropped = matched.first_lacks + matched.second_lacks + matched.uneven > 0
    return pairs_of((task, metric), of_base, of_other, sizes, order), dropped


def pairs_of(
    of: tuple[TaskFacts, MetricFacts], base: Floats, candidate: Floats, sizes: Floats, order: Floats | None = None
) -> Pairs:
    """Return Pairs, without a margin, of two models' rows (n, k) on the same units.

    `sizes` (n,): examples in each unit. `order`: the numbers by which units were drawn into rounds; None: no rounds.
    Raises NotComparableError for rows of another width than the metric's.
    """
    task, metric = of
    scorer = from_facts(metric)
    if len(base) and (base.shape[1], candidate.shape[1]) != (scorer.width, scorer.width):
        what = f"rows of {base.shape[1]} and {candidate.shape[1]} numbers, {metric.id} has {scorer.width}"
        raise NotComparableError(task.name, what, "evaluate again")
    return Pairs(
        base=base,
        candidate=candidate,
        sizes=sizes,
        score=scorer.score,
        kind=MetricKind.CORPUS if metric.kind == MetricKind.OPAQUE else metric.kind,
        low=metric.ends[0],
        high=metric.ends[1],
        sign=1.0 if metric.higher_is_better else -1.0,
        chance=task.chance,
        margin=None,
        order=order,
    )


@lru_cache(maxsize=512)
def unit_order(seed: int, task: str, units: tuple[str, ...]) -> Floats:
    """Return random numbers in [0, 1) by which units are put into rounds, (units,). They depend on seed, task and unit,
    never on answers.
    """
    return np.array([fingerprint.uniform_hash([seed, task, unit]) for unit in units], dtype=np.float64)


def asked_of_both(task: TaskFacts, sides: Sides, measurement: Measurement, seed: int) -> Measurement:
    """Return the measurement's rows of the rounds that both models were asked."""
    last = min(task.rounds.get(model, ROUNDS) for model in sides)
    if last >= ROUNDS:
        return measurement
    return rows_of_units(measurement, np.flatnonzero(round_of(unit_order(seed, task.name, measurement.units)) <= last))


def rows_of_units(measurement: Measurement, places: Sequence[int] | NDArray[np.intp]) -> Measurement:
    """Return the rows of the units at these places."""
    units, sizes = tuple(measurement.units[i] for i in places), tuple(measurement.sizes[i] for i in places)
    return replace(measurement, units=units, sizes=sizes, rows=measurement.rows[np.asarray(places, dtype=np.intp)])


def opaque_finding(task: TaskFacts, metric: MetricFacts, sides: Sides, table: MeasurementTable) -> tuple[Finding, bool]:
    """Return the finding of an opaque metric, which has values and no rows to draw again; also whether a value is
    missing.
    """
    base, other = (_measurement(task, metric, model, table) for model in sides)
    units = len(set(base.units) & set(other.units))
    stopped = task.rounds.get(sides[0]) != task.rounds.get(sides[1])  # their values are of different examples
    missing = stopped or base.point is None or other.point is None
    units, values = (0, (0.0, 0.0)) if missing else (units, (base.point or 0.0, other.point or 0.0))
    sign = 1.0 if metric.higher_is_better else -1.0
    difference = Interval(sign * (values[1] - values[0]))
    return Finding(
        units=units,
        base=Interval(values[0]),
        candidate=Interval(values[1]),
        difference=difference,
        margin=None,
        skill=None if task.chance is None else sign * (values[0] - task.chance),
        at_chance=False,
    ), units == 0


# ---- beside the verdict ----------------------------------------------------------------------------------------------


def knows_chance(task: TaskFacts, metric: MetricFacts) -> bool:
    """Return whether the task's chance is that of this metric: it is for the primary metric, and for all accuracies."""
    primary = next((each.name for each in task.metrics if each.id == task.primary), "")
    return metric.id == task.primary or {metric.name, primary} <= set(ACCURACIES)


def choices_of(pairs: Pairs) -> Floats | None:
    """Return the number of choices of each 0/1 answer, (n,); None if it is not known.

    Rows do not hold it, but the chance is the mean of 1 / choices over the questions. If that is one over a whole
    number, all questions have that many choices (or an equal chance, as four choices of which two are right).
    """
    chance = pairs.chance or 0.0
    number = round(1 / chance) if 0 < chance <= 0.5 else 0
    single = pairs.kind == MetricKind.BINARY and pairs.sign > 0 and bool((pairs.base[:, 1] == 1).all())
    return np.full(len(pairs.base), float(number)) if single and number and abs(chance * number - 1) < 1e-9 else None


def measures_of(
    finding: Finding, whole: Pairs, parts: Sequence[Pairs], level: float, chance_known: bool
) -> dict[str, Any]:
    """Return the fields of a row that describe it beside its difference: points, retention and flips, if they are
    known.

    `whole`: the pairs of the row; `parts`: the same task by task. `chance_known`: the tasks' chances are of this
    metric.
    """
    measures: dict[str, Any] = {"points": (whole.low, whole.high, whole.sign) == (0.0, 1.0, 1.0)}
    if (
        chance_known
        and (retained := retention(whole, level)) is not None
        and all(number is not None and math.isfinite(number) for number in retained)
    ):
        measures["retention"] = retained
    if finding.lost is not None and finding.gained is not None and finding.units:
        adjusted = _without_guesses(parts, level) if chance_known and whole.kind == MetricKind.BINARY else None
        forgotten, learned = (adjusted.forgotten, adjusted.learned) if adjusted else (None, None)
        measures["flips"] = FlipShares(
            share=(finding.lost + finding.gained) / finding.units,
            lost=finding.lost / finding.units,
            gained=finding.gained / finding.units,
            # fewer flips than luck alone makes: both guess alike
            forgotten=Estimate.of(forgotten) if forgotten and forgotten.high else None,
            learned=Estimate.of(learned) if learned and learned.high else None,
        )
    return measures


def _without_guesses(parts: Sequence[Pairs], level: float) -> Flips | None:
    choices = [choices_of(pairs) for pairs in parts if len(pairs.base)]
    if not choices or any(each is None for each in choices):
        return None
    base, candidate = (
        np.concatenate([getattr(pairs, side)[:, 0] for pairs in parts]) for side in ("base", "candidate")
    )
    return chance_adjusted_flips(base, candidate, np.concatenate([each for each in choices if each is not None]), level)
