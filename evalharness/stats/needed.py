"""Compute how many units would decide an undecided comparison, and for which verdict."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri

from evalharness.stats.assess import Finding
from evalharness.stats.enums import Assumption, Side, Verdict
from evalharness.stats.gaffke import WeightedMean
from evalharness.stats.power import MOST, smallest_count
from evalharness.stats.verdict import MIN_UNITS, p_on_side

POWER = 0.8
NEGLIGIBLE = 1e-9  # of a difference from the margin


class Needed(NamedTuple):
    """The number of units that would decide an undecided comparison.

    `verdict`: the one that the evidence leans to. `assumption`: about the true difference. `units`: how many give the
    verdict with probability POWER under that assumption; None: more than MOST.
    """

    verdict: Verdict
    assumption: Assumption
    units: int | None


def needed(finding: Finding, alphas: tuple[float, float]) -> Needed | None:
    """Return how many units would decide; None if no number gives the verdict that the evidence leans to.

    `alphas`: what p_forgotten (before adjustment) and p_retained must reach. Answers are assumed to change as often,
    and by as much, as the observed ones. "Retained" assumes that nothing is lost, unless a loss is shown or the present
    units would then have been enough.
    """
    if finding.single is not None:
        what = needed(finding.single, alphas)
        return None if what and what.verdict == Verdict.RETAINED and not finding.can_retain else what
    if finding.margin is None or not finding.units:
        return None
    value = finding.difference.value
    if value < -finding.margin - finding.noise - NEGLIGIBLE:
        return Needed(Verdict.FORGOTTEN, Assumption.AS_SEEN, units_needed(finding, value, Verdict.FORGOTTEN, alphas[0]))
    if not finding.can_retain or finding.noise >= finding.margin:
        return None
    high = finding.difference.high
    if high is None or high >= 0:
        units = units_needed(finding, 0.0, Verdict.RETAINED, alphas[1])
        if units is None or units > finding.units:
            return Needed(Verdict.RETAINED, Assumption.NOTHING_LOST, units)
    value = value if finding.capped is None else finding.capped.estimate
    return Needed(Verdict.RETAINED, Assumption.AS_SEEN, units_needed(finding, value, Verdict.RETAINED, alphas[1]))


def units_needed(finding: Finding, value: float, verdict: Side, alpha: float, power: float = POWER) -> int | None:
    """Return the number of units that gives `verdict` with probability `power` if the true difference is `value` and
    answers change as the observed ones; None: more than MOST, or no number.
    """
    side = 1.0 if verdict == Verdict.RETAINED else -1.0
    margin = (finding.margin or 0.0) - side * finding.noise
    if side * (value + margin) <= NEGLIGIBLE:
        return None
    if finding.counts is not None:
        gained, lost, effective = finding.counts
        away = side * float(ndtri(power))
        number = _by_counts((gained + lost) / effective, (value, away), verdict, (margin, alpha))
        return None if number is None else math.ceil(number * finding.units / effective)
    mean = finding.mean if side < 0 else finding.capped or finding.mean
    if mean is None:
        return None
    unlucky = value - side * float(ndtri(power)) * math.sqrt(mean.variance)
    return _by_mean(mean, (value, unlucky), side, (margin, alpha))


def _by_counts(flips: float, values: tuple[float, float], verdict: Side, at: tuple[float, float]) -> int | None:
    """Return the number of units for 0/1 answers of which a share `flips` changes, from unlucky counts, which are
    exceeded with probability `power`.

    `values`: the true difference, and the distance of these counts from it in standard errors.
    """
    (value, away), (margin, alpha) = values, at
    flips = max(flips, abs(value))
    spread = math.sqrt(max(flips - value**2, 0.0))

    def decided(units: int) -> bool:
        share = away * spread / math.sqrt(units) / flips if flips else 0.0  # of the gains that are missing
        gained, lost = max(0.0, (flips + value) / 2 * (1 - share)), max(0.0, (flips - value) / 2 * (1 + share))
        return p_on_side(round(units * gained), round(units * lost), units, margin, verdict) <= alpha

    return smallest_count(decided, MIN_UNITS, MOST)


def _by_mean(mean: WeightedMean, values: tuple[float, float], side: float, at: tuple[float, float]) -> int | None:
    """Return the number of units for a mean. `values`: its true value, and the unlucky one, which is exceeded with
    probability `power` with as many units as `mean` has.
    """
    observed_units, (margin, alpha), (value, unlucky) = float(mean.counts.sum()), at, values

    def decided(units: int) -> bool:
        times = units / observed_units
        larger = mean.scaled(1.0, times, at=value + (unlucky - value) / math.sqrt(times))
        return (larger.p_at_most(-margin) if side > 0 else larger.p_at_least(-margin)) <= alpha

    return smallest_count(decided, MIN_UNITS, MOST)
