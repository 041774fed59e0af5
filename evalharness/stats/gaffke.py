"""Test the mean of bounded values of any distribution with Gaffke's test.

N. Gaffke (2005, Preprint 1304, Universität Augsburg) gives n values and one more, the worst possible, weights that are
uniform on the simplex; the p-value of H0 "the mean is at most c" is the probability that the weighted mean is at most
c. So a collapse too rare to be in the sample is not certified away. That the p-value is valid at every n for every
distribution is a conjecture without a known counterexample (E. Learned-Miller and P. S. Thomas 2019, arXiv:1905.06208).
Such weights are exponential variables over their sum, so the p-value is the probability that a weighted sum of
exponentials is below 0. It is computed, not drawn: by inverting the moment generating function along a curve through
the saddlepoint that follows the steepest descent, where the integrand hardly oscillates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from evalharness.stats.resample import Floats, distinct_rows

STEP = 0.06  # of the trapezoidal rule, in asinh of the distance from the saddlepoint
NODES: Floats = np.arange(0.0, 161.0) * STEP
COARSE = range(10, 161, 10)  # nodes that check whether the integrand falls, and where it has vanished
LEAST_BEND = 0.01  # half of it becomes 0
MOST_BEND = 2 / 3  # largest slope of the curve's arms against the imaginary axis
FADED = 80.0  # twice the logarithm of the fall after which the integrand has vanished
CHUNK = 32  # factors multiplied before their logarithm is taken: too few to overflow
NOTHING = 1e-14  # scales smaller than this share of the largest are 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedMean:
    """A statistic as a weighted mean over units, with its tests and interval.

    `estimate`: its value. `moves` (k,): by how much each unit moves it, adding up to 0. `shares` (k,): each unit's
    share of the whole, adding up to 1. `counts` (k,): how many equal units each entry stands for. `largest`: the share
    that one unseen unit could have. `lowest`, `highest`: the least and the most that such a unit could add to the
    statistic.
    """

    estimate: float
    moves: Floats
    shares: Floats
    counts: Floats
    largest: float
    lowest: float
    highest: float

    @classmethod
    def from_units(cls, estimate: float, moves: Floats, shares: Floats, ends: tuple[float, float]) -> WeightedMean:
        """Make it of moves and shares of single units, (units,) each, and `ends`: what one unseen unit could add."""
        distinct, counts = distinct_rows(np.column_stack([moves, shares]))
        return cls(
            estimate=estimate,
            moves=distinct[:, 0],
            shares=distinct[:, 1],
            counts=counts.astype(np.float64),
            largest=float(shares.max(initial=0.0)),
            lowest=ends[0],
            highest=ends[1],
        )

    @classmethod
    def from_unbounded(cls, estimate: float, moves: Floats, shares: Floats) -> WeightedMean:
        """Make it of single units without known bounds: one unseen unit could move as much as the largest."""
        at, most = estimate * float(shares.max()), float(np.abs(moves).max())
        return cls.from_units(estimate, moves, shares, (at - most, at + most))

    @property
    def variance(self) -> float:
        """The jackknife variance of the statistic."""
        units = float(self.counts.sum())
        return float(self.counts @ self.moves**2) * units / max(units - 1, 1.0)

    def p_at_most(self, value: float) -> float:
        """Return p of H0: the statistic's true value is ≤ `value`; small if the data lie above it."""
        return self._p(value, 1.0)

    def p_at_least(self, value: float) -> float:
        """Return p of H0: the statistic's true value is ≥ `value`; small if the data lie below it."""
        return self._p(value, -1.0)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the values that neither test rejects at (1 − level) / 2; the estimate is always among them."""
        tail = (1 - level) / 2
        return self._end(tail, 1.0), self._end(tail, -1.0)

    def scaled(self, factor: float, units: float = 1.0, at: float | None = None) -> WeightedMean:
        """Return the statistic times `factor` (> 0), with `units` times as many such units, and moved to the value
        `at`.
        """
        each = factor / units
        estimate = factor * self.estimate if at is None else at
        moved = (estimate - factor * self.estimate) * self.largest / units
        return WeightedMean(
            estimate=estimate,
            moves=self.moves * each,
            shares=self.shares / units,
            counts=self.counts * units,
            largest=self.largest / units,
            lowest=self.lowest * each + moved,
            highest=self.highest * each + moved,
        )

    def _p(self, value: float, side: float) -> float:
        observed = side * (self.moves + (self.estimate - value) * self.shares)
        unseen = side * ((self.lowest if side > 0 else self.highest) - value * self.largest)
        scales = np.append(observed, unseen)
        scales[np.abs(scales) < NOTHING * (self.highest - self.lowest)] = 0.0  # rounding
        return below_zero(scales, np.append(self.counts, 1.0))

    def _end(self, tail: float, side: float) -> float:
        """Return the lower end (side 1) or the upper one (−1) of the interval; infinite if there is none."""
        if tail <= 0:
            return -side * np.inf
        step = max(2 * float(np.sqrt(self.variance)), self.highest - self.lowest)
        if step <= NOTHING * abs(self.estimate):  # nothing varies, but for rounding
            return self.estimate
        while self._p(self.estimate - side * step, side) > tail:
            step *= 2
            if not np.isfinite(step):
                return -side * np.inf

        def beyond(by: float) -> float:
            """Return the p-value as a normal quantile, which is almost linear: the search needs few steps."""
            p = self._p(self.estimate - side * by, side)
            return float(ndtri(min(max(p, 1e-300), 1 - 1e-15)) - ndtri(tail))

        return self.estimate - side * float(brentq(beyond, 0.0, step, xtol=1e-8 * step))


def pool_means(means: Sequence[WeightedMean]) -> WeightedMean:
    """Return the mean of independent statistics with equal weights and one unseen unit in all: the one that could move
    it most. Raises ValueError for none.
    """
    if not means:
        raise ValueError("nothing to pool")
    number = len(means)
    estimate = sum(mean.estimate for mean in means) / number
    largest = max(mean.largest for mean in means) / number
    down = min(mean.lowest - mean.estimate * mean.largest for mean in means) / number
    up = max(mean.highest - mean.estimate * mean.largest for mean in means) / number
    return WeightedMean(
        estimate=estimate,
        moves=np.concatenate([mean.moves for mean in means]) / number,
        shares=np.concatenate([mean.shares for mean in means]) / number,
        counts=np.concatenate([mean.counts for mean in means]),
        largest=largest,
        lowest=down + estimate * largest,
        highest=up + estimate * largest,
    )


def below_zero(scales: Floats, counts: Floats) -> float:
    """Return P(Σ scales · G ≤ 0) for independent G ~ Gamma(counts), sums of `counts` exponentials.

    `scales`, `counts` (k,); counts need not be whole. Accurate to about six digits if the counts add up to 2 or more.
    """
    largest = float(np.abs(scales).max(initial=0.0))
    used = np.abs(scales) > NOTHING * largest
    if not used.any():
        return 1.0
    scales, counts = scales[used] / largest, counts[used]
    if scales @ counts < 0:
        return 1.0 - _left_tail(-scales, counts)
    return _left_tail(scales, counts)


def _left_tail(scales: Floats, counts: Floats) -> float:
    """Return P(Σ scales · G ≤ 0) for a mean that is not negative: e^K(−s) / s integrated through its saddlepoint,
    before the first pole.

    The path is a hyperbola that bends like K's path of steepest descent: if one unseen unit decides, the integrand
    along a straight line oscillates faster than it falls.
    """
    if scales.min() >= 0:
        return 0.0
    pole = -1 / float(scales.min())

    def slope(s: float) -> float:
        return float(-(counts * scales / (1 + scales * s)).sum()) - 1 / s

    high, low = pole * (1 - 1e-13), pole / 2
    if slope(high) <= 0:
        return 0.0
    while slope(low) > 0:
        low /= 4
    point = float(brentq(slope, low, high, rtol=1e-7))  # any point before the pole would do; this one is best
    ratio = scales / (1 + scales * point)
    curve = float(counts @ ratio**2) + 1 / point**2
    width = float(1 / np.sqrt(curve))
    bend = -2 / 3 * float(counts @ ratio**3) * width**3
    bend, ratio = min(max(bend, -MOST_BEND), MOST_BEND), ratio * width
    while np.any(np.diff(fall := _fall(ratio, counts, bend, NODES[COARSE]), prepend=0.0) < 0):
        bend = bend / 2 if abs(bend) > LEAST_BEND else 0.0  # along a straight line it always falls
    nodes = NODES[: COARSE[min(int((fall <= FADED).sum()), len(COARSE) - 1)] + 1]
    line = point + width * (bend * (np.cosh(nodes) - 1) + 1j * np.sinh(nodes))
    slopes = bend * np.sinh(nodes) + 1j * np.cosh(nodes)
    values = (np.exp(-_log_product(scales, counts, line)) / line * slopes).imag
    return min(1.0, max(0.0, float(values.sum() - values[0] / 2) * STEP * width / np.pi))


def _fall(ratio: Floats, counts: Floats, bend: float, nodes: Floats) -> Floats:
    """Return twice the logarithm of the fall of e^K from the saddlepoint to each of the nodes."""
    real = 1 + ratio[:, None] * bend * (np.cosh(nodes) - 1)
    return np.asarray(counts @ np.log(real**2 + (ratio[:, None] * np.sinh(nodes)) ** 2))


def _log_product(scales: Floats, counts: Floats, line: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the logarithm of Π (1 + scales · line)^counts, up to multiples of 2πi where counts are 1."""
    many = counts != 1
    total = (counts[many, None] * np.log1p(scales[many, None] * line)).sum(axis=0)
    single = scales[~many]
    for start in range(0, len(single), CHUNK):
        total = total + np.log(np.prod(1 + single[start : start + CHUNK, None] * line, axis=0))
    return np.asarray(total)
