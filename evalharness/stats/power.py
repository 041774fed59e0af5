"""Compute the probability of each verdict for a number of 0/1 answers, before a run.

It is added up over all numbers of changes and losses, each judged by the rule of verdicts, without a normal
approximation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik, gammaln, ndtr, ndtri, xlog1py, xlogy

from evalharness.stats.enums import SIDES, Side, Verdict
from evalharness.stats.exact import FEW_CHANGES, exact_p
from evalharness.stats.paired import tango_statistic
from evalharness.stats.verdict import MIN_UNITS

MOST = 100_000  # the largest number of units that is reported
REST = 1e-7  # probability of the numbers of changes that are not enumerated, on either side
NEAR = 0.005  # relative accuracy of a margin or a drop
NEARBY = (1.0, 1.02, 1.05)  # exact power is a sawtooth: a number is enough if slightly larger ones are, too


class Odds(NamedTuple):
    """The probability of each verdict. The three add up to 1."""

    forgotten: float
    retained: float
    inconclusive: float


def odds(n: int, flips: float, drop: float, margin: float, alphas: tuple[float, float]) -> Odds:
    """Return the probability of each verdict on n independent 0/1 answers, if a share `flips` of them changes and the
    score truly falls by `drop` (negative: rises).

    `alphas`: what p_forgotten and p_retained must reach; with k gate units, α / k for p_forgotten is enough for Holm's
    adjustment. If the drop needs more changes than `flips`, more answers change. For dependent rows, n is their number
    divided by the design effect.
    """
    return _odds(n, flips, drop, (margin, *alphas), FEW_CHANGES)


def _odds(n: int, flips: float, drop: float, rule: tuple[float, float, float], few: int) -> Odds:
    """Return the odds of one design. `rule`: the margin and the alphas; `few`: fewer changes than this are judged by
    the exact test.
    """
    margin, *alphas = rule
    flips = min(1.0, max(flips, abs(drop)))
    if n < MIN_UNITS:
        return Odds(0.0, 0.0, 1.0)
    first, last = _changes(n, flips)
    changes = np.arange(first, last + 1, dtype=np.float64)
    weight = np.exp(
        gammaln(n + 1)
        - gammaln(changes + 1)
        - gammaln(n - changes + 1)
        + xlogy(changes, flips)
        + xlog1py(n - changes, -flips)
    )
    losing = (flips + drop) / (2 * flips) if flips else 0.0
    fewest, most = (_limits(n, changes, (margin, alpha), side, few) for side, alpha in zip(SIDES, alphas, strict=True))
    forgotten = float(weight @ (1 - _at_most(fewest - 1, changes, losing)))
    retained = float(weight @ _at_most(most, changes, losing))
    return Odds(forgotten, retained, max(0.0, 1 - forgotten - retained))


def certifiable_margin(n: int, flips: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest margin at which n answers give "retained" with probability ≥ `power`, if nothing is lost and
    a share `flips` changes; accurate to half a percent, at most .999.
    """
    low, high = 0.0, 0.999
    guess = (-float(ndtri(alpha)) + float(ndtri(power))) * math.sqrt(max(flips, 1e-12) / n) if n else 1.0
    for factor in (0.9, 1.1, 1.5, 2.5):  # the first two usually enclose it
        tried = min(0.999, max(factor * guess, 1e-4))
        enough = odds(n, flips, 0.0, tried, (0.0, alpha)).retained >= power
        low, high = (low, tried) if enough else (tried, high)
        if enough:
            break
    return smallest_value(lambda margin: odds(n, flips, 0.0, margin, (0.0, alpha)).retained >= power, low, high)


def detectable_drop(n: int, flips: float, margin: float, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Return the smallest true drop at which n answers give "forgotten" with probability ≥ `power`; None: not even the
    loss of everything does.

    `flips`: share of answers that change, or as many as the drop needs. With k gate units `alpha` is α / k.
    """

    def enough(drop: float) -> bool:
        return odds(n, flips, drop, margin, (alpha, 0.0)).forgotten >= power

    return smallest_value(enough, margin, 1.0) if n >= MIN_UNITS and enough(1.0) else None


def examples_needed(flips: float, drop: float, margin: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return the number of independent 0/1 answers at which a drop beyond the margin gives "forgotten", or a smaller
    one "retained", with probability ≥ `power`. None if the drop is the margin, or for more than MOST.
    """
    side = 0 if drop > margin else 1
    alphas = (alpha, 0.0) if side == 0 else (0.0, alpha)
    distance = abs(drop - margin)
    if distance < 1e-9:
        return None
    spread = max(flips, abs(drop)) - drop**2
    about = ((-float(ndtri(alpha)) + float(ndtri(power))) / distance) ** 2 * spread
    if about > MOST:
        return None

    def enough(n: int, few: int = FEW_CHANGES) -> bool:
        sizes = (math.ceil(n * more) for more in NEARBY)
        return all(_odds(size, flips, drop, (margin, *alphas), few)[side] >= power for size in sizes)

    # the exact test takes a thousand times as long as the score test, and a little more units
    start = smallest_count(lambda n: enough(n, few=0), max(MIN_UNITS, int(0.7 * about)))
    return None if start is None else smallest_count(enough, max(MIN_UNITS, int(0.95 * start)))


def _changes(n: int, flips: float) -> tuple[int, int]:
    """Return the range of the numbers of changes that are not negligible."""
    if flips <= 0:
        return 0, 0
    if flips >= 1:
        return n, n
    first, last = (float(bdtrik(share, n, flips)) for share in (REST, 1 - REST))
    return max(0, math.floor(first) if math.isfinite(first) else 0), min(n, math.ceil(last) + 1)


def _at_most(losses: NDArray[np.float64], changes: NDArray[np.float64], losing: float) -> NDArray[np.float64]:
    """Return P(number of losses among `changes` ≤ `losses`) if each change is a loss with probability `losing`; 0 for
    negative `losses`.
    """
    inside = np.clip(losses, 0, changes)
    return np.where(losses < 0, 0.0, np.where(losses >= changes, 1.0, bdtr(inside, changes.astype(np.int64), losing)))


def _limits(
    n: int, changes: NDArray[np.float64], rule: tuple[float, float], side: Side, few: int
) -> NDArray[np.float64]:
    """Return for each number of changes the fewest losses that give "forgotten" (changes + 1: none), or the most that
    give "retained" (−1: none).

    `rule`: margin and alpha; `few`: fewer changes than this are judged by the exact test.
    """
    forgotten, (margin, alpha) = side == Verdict.FORGOTTEN, rule
    if alpha <= 0:
        return changes + 1 if forgotten else np.full(len(changes), -1.0)
    low, high = np.full(len(changes), -1.0), changes + 1
    while (high - low > 1).any():  # the score test says forgotten from some number of losses on, and retained up to one
        middle = np.where(high - low > 1, np.floor((low + high) / 2), low)
        statistic = tango_statistic(changes - middle, middle, n, -margin)
        lower = ndtr(statistic) <= alpha if forgotten else ndtr(-statistic) > alpha
        open_ = high - low > 1
        low, high = np.where(open_ & ~lower, middle, low), np.where(open_ & lower, middle, high)
    limits = high if forgotten else low
    exact = np.flatnonzero(changes < few)
    limits[exact] = [_exact_limit(n, int(changes[i]), margin, side, alpha, int(limits[i])) for i in exact]
    return limits


@lru_cache(maxsize=200_000)
def _exact_limit(n: int, changes: int, margin: float, side: Side, alpha: float, guess: int) -> int:
    """Return the limit for one number of changes, as `_limits` does, by the exact test. `guess`: the limit of the score
    test.
    """
    step = -1 if side == Verdict.FORGOTTEN else 1

    def decided(lost: int) -> bool:
        return 0 <= lost <= changes and exact_p(changes - lost, lost, n, margin, side, alpha) <= alpha

    lost = guess
    while decided(lost + step):
        lost += step
    while 0 <= lost <= changes and not decided(lost):
        lost -= step
    return lost


def smallest_value(enough: Callable[[float], bool], low: float, high: float, near: float = NEAR) -> float:
    """Return the smallest value between low and high that is enough, by bisection to a relative accuracy of `near`;
    `high` if no smaller one is. Every value above an enough one must be enough.
    """
    negligible = 1e-9 * high
    while high - low > near * high and high >= negligible:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def smallest_count(decided: Callable[[int], bool], first: int, most: int = MOST) -> int | None:
    """Return the smallest n in [first, most] with decided(n), by growing steps and bisection; None: not even `most`. It
    assumes that `decided` stays true.
    """
    low, high, step = first - 1, first, max(1, first // 16)
    while not decided(high):
        if high >= most:
            return None
        low, high, step = high, min(high + step, most), 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high
