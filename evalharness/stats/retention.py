"""Measure how much of the base's skill remains, and correct the share of flipped answers for lucky guesses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evalharness.stats.paired import tango_interval
from evalharness.stats.pairs import Interval, Pairs, changed_units, unit_loss
from evalharness.stats.proportion import ENOUGH_CHANGED
from evalharness.stats.resample import Floats, influence


def retention(pairs: Pairs, level: float) -> Interval | None:
    """Return the share of the base's skill that remains: (candidate − chance) / (base − chance), which may be above 1.

    Fieller's interval of a ratio (E. C. Fieller 1954, JRSS B 16:175-185) with jackknifed variances over units and
    Student's t, which allows for correlated models. None if chance is unknown, or if the base's skill is not
    significant at this level: then the ratio has no bounded interval. If few units changed, the candidate's variance
    includes one more that changed by all it can.
    """
    units = len(pairs.base)
    base, candidate = (pairs.skill(float(pairs.score(rows.sum(axis=0)))) for rows in (pairs.base, pairs.candidate))
    if units < 2 or base is None or candidate is None:
        return None
    moves = np.stack([influence(rows, pairs.score) for rows in (pairs.base, pairs.candidate)])
    (base_var, shared), (_, candidate_var) = moves @ moves.T * units / (units - 1)
    loss, changed = unit_loss(pairs), int(changed_units(pairs).sum())
    if changed < ENOUGH_CHANGED:
        candidate_var += loss**2
    square = float(stdtrit(units - 1, 0.5 + level / 2)) ** 2
    leading = base**2 - square * base_var
    if base <= 0 or leading <= 0:
        return None
    middle, last = base * candidate - square * shared, candidate**2 - square * candidate_var
    root = float(np.sqrt(max(middle**2 - leading * last, 0.0)))
    value, low, high = candidate / base, (middle - root) / leading, (middle + root) / leading
    if not changed:
        unseen = _unseen_interval(units, loss * units, level)
        low, high = min(low, 1 + unseen[0] / base), max(high, 1 + unseen[1] / base)
    return Interval(value, min(low, value), max(high, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Shares of all answers that changed.

    `lost`, `gained`: changed from right to wrong, and back. `forgotten`, `learned`: the same, corrected for lucky
    guesses; estimates below 0 become 0.
    """

    lost: float
    gained: float
    forgotten: Interval
    learned: Interval


def chance_adjusted_flips(
    base: Floats, candidate: Floats, choices: Floats, level: float, clusters: Floats | None = None
) -> Flips | None:
    """Return the shares of 0/1 answers (n,) that changed, to questions with `choices` (n,) choices each. None for fewer
    than two units.

    A guess is right once in `choices` times, and lucky flips are no forgetting. Suppose that each answer is known or
    guessed, and that the two models guess independently: with c = 1 / choices and P01 the share wrong before and right
    after, P00 = U(1 − c)² and P10 = F(1 − c) + U c (1 − c) for the shares U known by neither and F forgotten, so F =
    P10 / (1 − c) − c P00 / (1 − c)², and P01 likewise. Models of one family guess alike: then the correction is too
    large, and the truth lies between this and the raw share. The idea is that of J. Harmon et al. (2025,
    arXiv:2510.17776), who estimate the guesses from the two accuracies; here they follow from the joint counts, as
    derived above. Intervals: Student's t over `clusters` (n,), ids of dependent rows. Raises ValueError for a question
    with one choice.
    """
    luck = 1 / np.asarray(choices, dtype=np.float64)
    if (luck >= 1).any():
        raise ValueError("a question with one choice cannot be answered wrong")
    ids = np.arange(len(base)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    if len(base) == 0 or ids.max() < 1:
        return None
    was, now = np.asarray(base) > 0.5, np.asarray(candidate) > 0.5
    neither = luck * (~was & ~now) / (1 - luck) ** 2
    lost, gained = was & ~now, ~was & now
    forgotten, learned = (_mean(flipped / (1 - luck) - neither, ids, level) for flipped in (lost, gained))
    return Flips(lost=float(lost.mean()), gained=float(gained.mean()), forgotten=forgotten, learned=learned)


def _mean(values: Floats, ids: NDArray[np.intp], level: float) -> Interval:
    """Return the mean of values (n,), clipped to 0 and 1, with its interval over clusters; the spread is at least that
    of one unit.
    """
    sums, sizes = np.bincount(ids, values), np.bincount(ids)
    mean, units = float(values.mean()), len(sums)
    spread = float(np.sqrt(((sums - mean * sizes) ** 2).sum() * units / (units - 1))) / len(values)
    spread = max(spread, float(sizes.max()) / len(values))
    half = float(stdtrit(units - 1, 0.5 + level / 2)) * spread
    value, low, high = (min(max(end, 0.0), 1.0) for end in (mean, mean - half, mean + half))
    return Interval(value, low, high)


def _unseen_interval(units: int, reach: float, level: float) -> tuple[float, float]:
    """Return the interval of a difference if none of `units` units changed. `reach`: the score that is lost if all
    units lose all they can.

    Equal rows have no spread, which would claim certainty; Tango's interval of 0 gained and 0 lost does not.
    """
    low, high = tango_interval(0, 0, units, level)
    return low * reach, high * reach
