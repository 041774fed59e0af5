"""Compute how many units would decide a comparison that is undecided: for which verdict, and under which assumption."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri

from evalharness.stats.assess import Finding
from evalharness.stats.enums import Assumption, Verdict
from evalharness.stats.gaffke import WeightedMean
from evalharness.stats.power import MOST, examples_needed, smallest
from evalharness.stats.verdict import MIN_UNITS

POWER = 0.8


class Needed(NamedTuple):
    """The verdict that the evidence leans to, and how many units would give it with probability POWER under the
    assumption; None: more than MOST.
    """

    verdict: Verdict
    assumption: Assumption
    units: int | None


def needed(finding: Finding, alphas: tuple[float, float]) -> Needed | None:
    """What would decide; None where the verdict leant to cannot be had at any size. `alphas`: what p_forgotten (before
    adjustment) and p_retained must reach.

    Answers are supposed to change as often, and by as much, as those that were seen. "Retained" supposes that nothing
    is lost, unless a loss has been shown or the units that there are would already have been enough.
    """
    if finding.margin is None or not finding.units:
        return None
    value = finding.difference.value
    if value < -finding.margin:
        return Needed(Verdict.FORGOTTEN, Assumption.AS_SEEN, _units(finding, value, Verdict.FORGOTTEN, alphas[0]))
    if not finding.can_retain:
        return None
    high = finding.difference.high
    if high is None or high >= 0:
        units = _units(finding, 0.0, Verdict.RETAINED, alphas[1])
        if units is None or units > finding.units:
            return Needed(Verdict.RETAINED, Assumption.NOTHING_LOST, units)
    return Needed(Verdict.RETAINED, Assumption.AS_SEEN, _units(finding, value, Verdict.RETAINED, alphas[1]))


def _units(finding: Finding, value: float, verdict: Verdict, alpha: float) -> int | None:
    margin = finding.margin or 0.0
    if abs(value + margin) < 1e-9:
        return None
    if finding.counts is not None:
        gained, lost, effective = finding.counts
        flips = (gained + lost) / effective
        number = examples_needed(flips, -value, margin, POWER, alpha)
        return None if number is None else math.ceil(number * finding.units / effective)
    return None if finding.mean is None else _by_mean(finding.mean, value, verdict, (margin, alpha))


def _by_mean(mean: WeightedMean, value: float, verdict: Verdict, at: tuple[float, float]) -> int | None:
    """The same by what the lowest POWER of draws of so many units would give."""
    seen, (margin, alpha) = float(mean.counts.sum()), at
    side = 1.0 if verdict == Verdict.RETAINED else -1.0
    unlucky = side * float(ndtri(POWER)) * math.sqrt(mean.variance)

    def decided(units: int) -> bool:
        times = units / seen
        drawn = mean.scaled(1.0, times, at=value - unlucky / math.sqrt(times))
        return (drawn.p_at_most(-margin) if side > 0 else drawn.p_at_least(-margin)) <= alpha

    return smallest(decided, MIN_UNITS, MOST)
