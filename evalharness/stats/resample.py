"""Resample rows of sufficient statistics over units: BCa intervals, p-values at a margin and a test of no difference.

A metric is a function of summed rows (Score), so a resample is weights @ rows whatever the metric. All randomness is
the Generator passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Summed rows (..., width) to scores (...)."""

CELLS = 1 << 21  # resampled weights held at once (16 MiB)
TILE = 1 << 16  # of them drawn at once: few enough to stay in the processor's cache, which takes less time
FEW_ROWS = 48  # at most so many distinct rows are resampled as counts
EXACT_UNITS = 12  # at most so many changed units: every sign pattern is tried


class Effort(NamedTuple):
    """How many resamples: of a difference that decides, of anything else, and of swaps. Fewer only add noise: for
    simulations.
    """

    deciding: int = 10_000
    describing: int = 2_000
    swaps: int = 4_000


FULL = Effort()


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Resampled values of one statistic. `replicates`: sorted, (replicates,); `acceleration`: BCa's a; `freedom`: units
    less strata; `spread`: the standard error, by the jackknife.

    BCa (B. Efron 1987, JASA 82:171-185) has its normal quantiles z widened to t·√(n/(n−1)), which repairs the too
    narrow intervals of small samples (T. Hesterberg 2015, The American Statistician 69:371-386). Its two corrections,
    for bias and for skewness, are themselves estimated: where few rows bear the whole difference they are noise, and
    BCa errs more often than Student's t does; where the rows are skew, t errs more often. So an interval reaches as far
    as either does, and a p-value is the larger one.
    """

    estimate: float
    replicates: Floats
    acceleration: float
    freedom: float
    spread: float

    def interval(self, level: float) -> tuple[float, float]:
        """Interval with two-sided coverage `level` or more; it always holds the estimate."""
        low, high = self.bca_interval(level)
        half = -float(stdtrit(self.freedom, (1 - level) / 2)) * self.spread
        return min(low, self.estimate - half), max(high, self.estimate + half)

    def bca_interval(self, level: float) -> tuple[float, float]:
        """BCa's interval alone, widened for small samples; it always holds the estimate."""
        tail = self._widened((1 - level) / 2)
        low, high = np.quantile(self.replicates, [self._shifted(tail), self._shifted(-tail)])
        return min(float(low), self.estimate), max(float(high), self.estimate)

    def p_at_least(self, value: float) -> float:
        """p of H0: the statistic is ≥ `value`; small where the data lie below it."""
        return max(self._p((self.replicates >= value - self._slack()).sum(), 1.0), self._student(value, 1.0))

    def p_at_most(self, value: float) -> float:
        """p of H0: the statistic is ≤ `value`; small where the data lie above it."""
        return max(self._p((self.replicates <= value + self._slack()).sum(), -1.0), self._student(value, -1.0))

    def _student(self, value: float, side: float) -> float:
        """Student's t: p of H0: side × (statistic − value) ≥ 0."""
        distance = side * (self.estimate - value)
        if self.spread <= self._slack():
            return 1.0 if distance >= -self._slack() else 0.0
        return float(stdtr(self.freedom, distance / self.spread))

    def _p(self, beyond: int, side: float) -> float:
        """The level at which an end of the interval meets the value, from the share of replicates on the null's side of
        it.
        """
        tail = (1 + int(beyond)) / (1 + len(self.replicates))
        bias = self._bias()
        distance = -side * float(ndtri(min(tail, 1 - 1e-12))) - bias
        stretch = 1 + self.acceleration * distance
        z = distance / stretch - bias if stretch > 1e-9 else np.copysign(40.0, distance)
        shrunk = z * np.sqrt(self.freedom / (self.freedom + 1))
        return max(float(stdtr(self.freedom, -side * shrunk)), 1 / (1 + len(self.replicates)))

    def _slack(self) -> float:
        return 1e-12 * (1 + abs(self.estimate))

    def _bias(self) -> float:
        """BCa's z0: where the estimate lies among its replicates, ties counted half."""
        below = (self.replicates < self.estimate - self._slack()).sum()
        not_above = (self.replicates <= self.estimate + self._slack()).sum()
        edge = 0.5 / len(self.replicates)
        return float(ndtri(np.clip((below + not_above) / (2 * len(self.replicates)), edge, 1 - edge)))

    def _widened(self, tail: float) -> float:
        """A normal quantile (negative for tail < .5), widened for the number of units."""
        return float(stdtrit(self.freedom, tail)) * math.sqrt((self.freedom + 1) / self.freedom)

    def _shifted(self, z: float) -> float:
        """The share of replicates below BCa's end for the normal quantile z."""
        moved = self._bias() + z
        stretch = 1 - self.acceleration * moved
        return float(ndtr(self._bias() + moved / stretch)) if stretch > 1e-9 else float(moved > 0)


def distinct_rows(rows: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The distinct rows of `rows` (n, width) in lexical order, and how often each comes: `np.unique` along axis 0, many
    times as fast.
    """
    ordered = rows[np.lexsort(rows.T[::-1])]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[first], np.diff(np.append(first, len(rows)))


def resampled_sums(rows: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Sums of n rows drawn with replacement from the n rows (n, width). -> (replicates, width)

    Few distinct rows are drawn as multinomial counts, which is the same law; otherwise at most CELLS weights are held
    at once.
    """
    n = len(rows)
    distinct, counts = distinct_rows(rows)
    if len(distinct) <= FEW_ROWS:
        return np.asarray(rng.multinomial(n, counts / n, size=replicates) @ distinct)
    sums = np.empty((replicates, rows.shape[1]))
    step = min(max(1, CELLS // n), replicates)
    weights = np.empty((step, n))
    for start in range(0, replicates, step):
        block = weights[: min(step, replicates - start)]
        for tile in np.split(block, range(max(1, TILE // n), len(block), max(1, TILE // n))):
            drawn = rng.integers(0, n, size=tile.shape)
            drawn += np.arange(len(tile))[:, None] * n
            tile[:] = np.bincount(drawn.ravel(), minlength=tile.size).reshape(tile.shape)
        sums[start : start + len(block)] = block @ rows
    return sums


def influence(rows: Floats, score: Score) -> Floats:
    """Jackknife influence of each unit on the score, (n,): mean of the leave-one-out scores minus the one without it,
    times (n − 1) / n.
    """
    n = len(rows)
    left_out = score(rows.sum(axis=0) - rows)
    return np.asarray((left_out.mean() - left_out) * (n - 1) / n)


def acceleration(influences: Floats) -> float:
    """BCa's a from influences (n,); for strata, those of all strata, each times its stratum's weight. 0 where nothing
    varies.
    """
    spread = float((influences**2).sum())
    return float((influences**3).sum() / (6 * spread**1.5)) if spread > 1e-24 else 0.0


def bootstrap(rows: Floats, score: Score, replicates: int, rng: np.random.Generator) -> Bootstrap:
    """Resample units, rows (n, width) with n ≥ 2. `score` may be a difference: rows of two models side by side."""
    n, estimate = len(rows), float(score(rows.sum(axis=0)))
    values = score(resampled_sums(rows, replicates, rng))
    influences = influence(rows, score)
    spread = float(np.sqrt((influences**2).sum() * n / (n - 1)))
    return Bootstrap(estimate, np.sort(values), acceleration(influences), n - 1, spread)


def swapped_differences(
    first: Floats, second: Floats, score: Score, replicates: int, rng: np.random.Generator
) -> Floats:
    """Differences second − first after the two rows of each unit were swapped at random, as if the models were one. ->
    (replicates,)

    Rows are (n, width). Approximate randomization; for scores that are means, the sign-flip test.
    """
    start, change, away = _changes(first, second)
    values = np.empty(replicates)
    step = min(max(1, CELLS // max(1, len(change))), replicates)
    swaps = np.empty((step, len(change)))
    for begin in range(0, replicates, step):
        block = swaps[: min(step, replicates - begin)]
        block[:] = rng.integers(0, 2, size=block.shape, dtype=np.int8)
        moved = block @ change
        values[begin : begin + len(block)] = score(start + moved) - score(away - moved)
    return values


def swap_p(first: Floats, second: Floats, score: Score, nulls: Floats) -> float:
    """Two-sided p of H0: the two models' rows are exchangeable. `nulls` are `swapped_differences`, used where too many
    units changed to try every pattern of swaps. Nothing changed gives 1.
    """
    start, change, away = _changes(first, second)
    observed = float(score(start + change.sum(axis=0)) - score(away - change.sum(axis=0)))
    if len(change) > EXACT_UNITS:
        return monte_carlo_p(observed, nulls)
    patterns = (np.arange(1 << len(change))[:, None] >> np.arange(len(change))) & 1
    moved = patterns.astype(np.float64) @ change
    values = score(start + moved) - score(away - moved)
    return float((np.abs(values) >= abs(observed) * (1 - 1e-9) - 1e-12).mean())


def monte_carlo_p(observed: float, nulls: Floats) -> float:
    """Share of null values at least as far from zero, the observed one counted among them. `nulls` (replicates,)."""
    return float((1 + (np.abs(nulls) >= abs(observed) * (1 - 1e-9) - 1e-12).sum()) / (1 + len(nulls)))


def _changes(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Where no unit's second row is in place: sums, then what each changed unit adds (changed, width), then the other
    side's sums.
    """
    change = (second - first)[np.any(second != first, axis=1)]
    return first.sum(axis=0), change, first.sum(axis=0) + change.sum(axis=0)
