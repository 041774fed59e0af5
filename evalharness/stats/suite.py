"""Combine the findings of gate units into one for the suite: the plain mean of their differences, in margins.

A gate unit is a task or group that the gate judges. Every unit's difference is divided by its own margin, so the
suite's margin is 1. The units are fixed before the run. The mean is tested by `gaffke.pool_means`: every unit keeps its
own weight, and one worst case is added to all of them together. For "retained" a unit's gain counts at most one margin
and two of its standard errors, so that one large gain cannot offset losses elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from evalharness.stats.assess import Finding
from evalharness.stats.gaffke import WeightedMean, pool_means
from evalharness.stats.pairs import Interval

STANDARD_ERRORS = 2.0  # of a gain that count towards "retained", beyond one margin
NOTHING = Finding(
    units=0,
    base=Interval(0.0),
    candidate=Interval(0.0),
    difference=Interval(0.0),
    margin=1.0,
    skill=0.0,
    at_chance=False,
    p_forgotten=1.0,
    p_retained=1.0,
)


def combine(findings: Sequence[Finding], level: float | None) -> Finding:
    """Combine findings into one for the suite, in margins. `level`: coverage of its interval; None: it gets none.

    The suite's `skill` is the mean of the units' skills in margins, each at least 0; a suite with a small one certifies
    nothing, as any unit. Every finding must have a margin above 0; findings without units are left out. A suite of one
    unit has that unit's tests. A suite with a unit whose metric has no finite range is never retained. Without findings
    it has no interval, and p-values of 1.
    """
    members = [(each, each.mean, each.margin) for each in findings if each.mean is not None and each.margin]
    if not members:
        return NOTHING
    in_margins = [mean.scaled(1 / margin) for _, mean, margin in members]
    whole, capped = pool_means(in_margins), pool_means([_capped(mean) for mean in in_margins])
    used = [each for each, _, _ in members]
    countable = all(each.lost is not None for each in used)
    skills = [max(0.0, each.skill or 0.0) / margin for each, _, margin in members]
    suite = replace(
        NOTHING,
        units=sum(each.units for each in used),
        difference=Interval(whole.estimate, *(() if level is None else whole.interval(level))),
        skill=sum(skills) / len(skills),
        lost=sum(each.lost or 0 for each in used) if countable else None,
        gained=sum(each.gained or 0 for each in used) if countable else None,
        p_forgotten=whole.p_at_least(-1.0),
        p_retained=capped.p_at_most(-1.0) if all(each.bounded for each in used) else 1.0,
        bounded=all(each.bounded for each in used),
        p_difference=_p_difference(whole),
        mean=whole,
        capped=capped,
    )
    return suite if len(used) > 1 else _of_one(suite, used[0])


def _capped(mean: WeightedMean) -> WeightedMean:
    """Return the mean with a gain of at most one margin and two standard errors."""
    most = 1 + STANDARD_ERRORS * math.sqrt(mean.variance)
    return mean.scaled(1.0, at=most) if mean.estimate > most else mean


def _of_one(suite: Finding, unit: Finding) -> Finding:
    """Return the finding of a suite that has one unit: with the tests of that unit."""
    margin = unit.margin or 1.0
    low, high = (None if end is None else end / margin for end in unit.difference[1:])
    return replace(
        suite,
        difference=Interval(unit.difference.value / margin, low, high),
        p_forgotten=unit.p_forgotten,
        p_retained=unit.p_retained,
        p_difference=unit.p_difference,
        at_chance=unit.at_chance,
        single=unit,
    )


def _p_difference(mean: WeightedMean) -> float:
    """Return the two-sided p of H0: no difference, by the normal approximation with the variance about 0."""
    about_zero = float(mean.counts @ (mean.moves + mean.estimate * mean.shares) ** 2)
    return 2 * float(ndtr(-abs(mean.estimate) / math.sqrt(about_zero))) if about_zero > 0 else 1.0


def mean_share_kept(findings: Sequence[Finding], level: float) -> Interval | None:
    """Return the mean share of the base's skill that remains, over the units with skill; None if there are none.

    It only describes: the base's luck is in numerator and denominator, so it is too low if skill is small.
    """
    able = [each for each in findings if each.mean is not None and each.skill and not each.at_chance]
    if not able:
        return None
    mean = pool_means([each.mean.scaled(1 / each.skill) for each in able if each.mean is not None and each.skill])
    low, high = mean.interval(level)
    return Interval(1 + mean.estimate, 1 + low, 1 + high)


def mean_difference(findings: Sequence[Finding], level: float) -> Interval | None:
    """Return the plain mean of differences on one scale with its interval; None without differences."""
    means = [each.mean for each in findings if each.mean is not None]
    if not means:
        return None
    mean = pool_means(means)
    return Interval(mean.estimate, *mean.interval(level))


def median_difference(findings: Sequence[Finding]) -> float | None:
    """Return the median unit's difference in margins; None without units."""
    values = [each.difference.value / each.margin for each in findings if each.units and each.margin]
    return float(np.median(values)) if values else None
