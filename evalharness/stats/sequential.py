"""Test paired differences in random order after every unit, by e-processes, with an interval and a certificate.

An e-process is the capital of a bettor against a null, who starts with 1 and bets at each unit, at odds that are fair
or worse if the null is true. P(capital ever ≥ 1/α) ≤ α under the null (J. Ville 1939), so stopping once it has errs
with probability at most α. A fixed-sample test that is read again and again does not have this guarantee.

Nulls are those of the verdict: Δ ≥ −margin (its e-process is evidence for "forgotten") and Δ ≤ −margin ("retained").
Bets are those of I. Waudby-Smith and A. Ramdas (2024), JRSS B 86:1-27, §§4-5: a factor 1 + λ(x − m) for a value x that
is bounded on the side of the bet and has mean m under the null; λ is a fixed share of the largest bet that cannot lose
more than everything, and the capital is averaged over a grid of shares. Only the bounds of the values are assumed, so
it serves 0/1 answers, graded scores and sums over the rows of a unit.

Units must come in random order, which is not the order of a file, and both models answer the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from evalharness.stats.enums import Side, Verdict

Floats = NDArray[np.float64]

SHARES = np.arange(1, 11) / 10  # of the largest bet; their capitals are averaged
MOST_EXCESS = 50.0  # replaces infinity in a search
INSIDE = 1 - 1e-12  # of the range: at its end a bet cannot lose


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The differences of units, in the order in which they were answered.

    `net` (units,): candidate minus base, with + better, summed over a unit's rows. `sizes` (units,): rows in each unit;
    Δ is Σ net / Σ sizes. `largest`: rows in the largest possible unit. `reach`: the most that one row can change (1 on
    a 0-1 scale). Raises ValueError for values beyond the bounds, which would make the bets invalid.
    """

    net: Floats
    sizes: Floats
    largest: float = 1.0
    reach: float = 1.0

    def __post_init__(self) -> None:
        if self.net.shape != self.sizes.shape or self.net.ndim != 1:
            raise ValueError("net and sizes are of different shapes")
        if (np.abs(self.net) > self.reach * self.sizes + 1e-9).any() or (self.sizes > self.largest + 1e-9).any():
            raise ValueError("a unit changed by more than it can, or is larger than the largest")


def evidence(stream: Stream, margin: float, side: Side, population: int | None = None) -> Floats:
    """Return the logarithm of the e-process for one side of the verdict after each unit, (units,).

    Rejecting once it reaches log(1/α) errs with probability ≤ α at any stopping time. The units are a random sample of
    a population without end; `certificate` is for a finite one.
    """
    excess, bound = _excess(stream, margin, side)
    if population is None:
        return _capital(-excess / bound)
    before = np.concatenate([[0.0], np.cumsum(excess)[:-1]])
    expected = -before / (population - np.arange(len(excess)))  # mean of the remaining units, at the null's edge
    most_loss = np.maximum(bound - expected, 1e-12 * bound)
    path = _capital((expected - excess) / most_loss)
    remaining = population - np.arange(1, len(excess) + 1)
    return np.where(np.cumsum(excess) + remaining * bound < -1e-9 * bound, np.inf, path)


def certificate(stream: Stream, margin: float, side: Side, population: int) -> Floats:
    """Return what `evidence` does, (units,), for the difference on a finite set of `population` units, of which
    `stream` is a random sample without replacement.

    It certifies the score on this set, not on questions like these. The null fixes the sum over the set, so the
    observed units bound the mean of the remaining ones, and the bets are against that bound (Waudby-Smith and Ramdas
    2024, §5). Once no remaining values could make the null true, the logarithm is inf. Raises ValueError for more units
    than the set has.
    """
    if len(stream.net) > population:
        raise ValueError("the stream has more units than the population")
    return evidence(stream, margin, side, population)


def interval(stream: Stream, alpha: float, population: int | None = None) -> tuple[float, float]:
    """Return bounds of Δ that hold at every time: each ever errs with probability ≤ α (two-sided coverage 1 − 2α, as
    the intervals of a fixed sample).

    The interval holds the values whose e-processes never reached 1/α. Without units it is (−reach, reach).
    `population`: the number of units in a finite set, see `certificate`.
    """

    def excess(end: float, side: Side) -> float:
        """Return how far the e-process against the null "Δ = `end`" rose above the threshold at which it rejects.

        The value is the largest logarithm of the capital after any unit, minus log(1/α); above 0 the null is rejected.
        """
        return min(float(evidence(stream, -end, side, population).max()) + math.log(alpha), MOST_EXCESS)

    def bound(side: Side, sign: float) -> float:
        first, last = -sign * stream.reach * INSIDE, sign * stream.reach
        rejects = len(stream.net) and excess(first, side) > 0
        return float(brentq(excess, first, last, args=(side,), xtol=1e-15)) if rejects else -last

    return bound(Verdict.RETAINED, 1.0), bound(Verdict.FORGOTTEN, -1.0)


def e_holm(logs: Sequence[float]) -> list[float]:
    """Adjust the logarithms of e-values for multiple tests, in the same order: rejecting those ≥ log(1/α) makes any
    error with probability ≤ α, under any dependence.

    It is the closed test that judges a set of nulls by the mean of its e-values: the smallest mean of each e-value with
    any number of the smallest ones (V. Vovk and R. Wang 2021, Annals of Statistics 49:1736-1754, Algorithm 1). Values
    of e-processes are e-values at any stopping time, so they may be adjusted at any time.
    """
    values = np.asarray(logs, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = values.copy()
    for rank, place in enumerate(order):
        total = values[place]
        for others, smaller in enumerate(order[:rank], start=1):
            total = np.logaddexp(total, values[smaller])
            adjusted[place] = min(adjusted[place], total - math.log(others + 1))
    return [float(value) for value in adjusted]


def _excess(stream: Stream, margin: float, side: Side) -> tuple[Floats, float]:
    """Return for each unit a value whose mean is at least 0 under the null, (units,), and the upper bound of these
    values.
    """
    over = stream.net + margin * stream.sizes
    if side == Verdict.FORGOTTEN:
        return over, (stream.reach + margin) * stream.largest
    return -over, (stream.reach - margin) * stream.largest


def _capital(gains: Floats) -> Floats:
    """Return the logarithm of the averaged capital after each unit, (units,). `gains`: those of the largest bet, each ≥
    −1.
    """
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.log1p(SHARES * np.maximum(gains, -1.0)[:, None]), axis=0)
    return np.asarray(logsumexp(logs, axis=1) - math.log(len(SHARES)))
