"""Compute exact p-values at a margin for few gained and lost answers: Tango's statistic without an approximation.

The null fixes Δ = −margin but not ψ = P(an answer changed). Given ψ, the number of changes is binomial(n, ψ), and the
losses among m changes are binomial(m, r) with r = (ψ + margin) / 2ψ on the boundary. The p-value is the largest over
the ψ that the data leave possible (a confidence set of level 1 − GAMMA) plus GAMMA: R. L. Berger and D. D. Boos (1994),
JASA 89:1012-1016. That bounds the work: 40 changes of 20 000 answers need some 150 values of m.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, gammaln, xlog1py, xlogy

from evalharness.stats.enums import Side, Verdict
from evalharness.stats.paired import tango_statistic

GAMMA = 1e-6  # paid for leaving out the ψ that the data exclude
TAIL = 1e-9  # probability of numbers of changes that are not enumerated; added to the p-value
GRID = 24  # values of ψ tried first; then REFINED around the best, twice
REFINED = 9
NEGLIGIBLE = 1e-14  # probability of a number of changes not worth a tail probability; counted as inside the region
FEW_CHANGES = 40  # fewer changes than this: the normal approximation is not trusted


@lru_cache(maxsize=4096)
def exact_p(gained: int, lost: int, n: int, margin: float, side: Side, enough: float = 1.0) -> float:
    """p of H0: Δ ≥ −margin (side "forgotten") or of H0: Δ ≤ −margin (side "retained"), valid at every n. n = 0 gives 1.

    Never below GAMMA. Meant for fewer than FEW_CHANGES changes: work grows with the square of their number. A p that is
    above `enough` may come back smaller than it is, and still above it: who only asks whether it is need not wait for
    the largest ψ.
    """
    if n <= 0:
        return 1.0
    if margin >= 1:
        return 1.0 if side == Verdict.FORGOTTEN else GAMMA
    low, high = _possible_rates(gained + lost, n)
    if side == Verdict.RETAINED:
        low = max(low, margin)  # a smaller rate of change cannot lose as much as the margin
        if low > high:
            return GAMMA
    changes, limit = _region(gained, lost, n, margin, side, _window(low, high, n))
    rates = np.union1d(
        np.linspace(low, high, GRID), np.clip(margin, low, high)
    )  # the null's worst share of losses has a kink at the margin
    largest = 0.0
    for _ in range(2):
        probabilities = _probability(rates, changes, limit, n, margin, side)
        best = int(np.argmax(probabilities))
        step = (rates[-1] - rates[0]) / (len(rates) - 1)
        largest = max(largest, float(probabilities[best]))
        if largest > enough:
            return min(1.0, largest + TAIL + GAMMA)
        rates = np.linspace(max(low, rates[best] - step), min(high, rates[best] + step), REFINED)
    largest = max(largest, float(_probability(rates, changes, limit, n, margin, side).max()))
    return min(1.0, largest + TAIL + GAMMA)


def _possible_rates(changes: int, n: int) -> tuple[float, float]:
    """Clopper-Pearson interval of ψ at level 1 − GAMMA."""
    low = float(betaincinv(changes, n - changes + 1, GAMMA / 2)) if changes else 0.0
    high = float(betaincinv(changes + 1, n - changes, 1 - GAMMA / 2)) if changes < n else 1.0
    return low, high


def _window(low: float, high: float, n: int) -> NDArray[np.float64]:
    """Numbers of changes whose complement has probability below TAIL at every rate in [low, high]."""
    reach = np.arange(0, n + 1) if n <= 256 else np.arange(0, min(n, int(n * high + 12 * np.sqrt(n * high) + 40)) + 1)
    reach = reach.astype(np.float64)
    too_many = reach[bdtr(reach, n, high) < 1 - TAIL / 2]
    too_few = reach[bdtr(reach, n, low) < TAIL / 2]
    first = too_few[-1] + 1 if too_few.size else 0.0
    last = min(n, too_many[-1] + 1) if too_many.size else 0.0
    return np.arange(first, max(first, last) + 1)


def _region(
    gained: int, lost: int, n: int, margin: float, side: Side, changes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each number of changes, the losses at least as telling as those observed: at most (retained) or at least
    (forgotten) the limit.
    """
    losses = np.arange(0, changes[-1] + 1)[None, :]
    statistic = tango_statistic(changes[:, None] - losses, losses, n, -margin)
    observed = float(tango_statistic(gained, lost, n, -margin))
    slack = 1e-9 * (1 + abs(observed))
    possible = losses <= changes[:, None]
    if side == Verdict.RETAINED:
        inside = possible & (statistic >= observed - slack)
        return changes, np.where(inside, losses, -1.0).max(axis=1)
    inside = possible & (statistic <= observed + slack)
    return changes, np.where(inside, losses, changes[:, None] + 1).min(axis=1)


def _probability(
    rates: NDArray[np.float64],
    changes: NDArray[np.float64],
    limit: NDArray[np.float64],
    n: int,
    margin: float,
    side: Side,
) -> NDArray[np.float64]:
    """P(region) at each rate of change, with the share of losses that makes it largest under the null. -> (rates,)"""
    psi = np.maximum(rates, 1e-300)[:, None]
    share = np.minimum(1.0, (psi + margin) / (2 * psi))
    log_weight = gammaln(n + 1) - gammaln(changes + 1) - gammaln(n - changes + 1)
    weight = np.exp(log_weight + xlogy(changes, psi) + xlog1py(n - changes, -psi))
    below = limit if side == Verdict.RETAINED else limit - 1
    inside = np.broadcast_to(
        np.where(below < 0, 0.0, 1.0), weight.shape
    ).copy()  # P(losses ≤ below); 1 where below = changes
    if side == Verdict.FORGOTTEN:
        inside = np.where(weight < NEGLIGIBLE, 0.0, inside)
    row, column = np.nonzero((weight >= NEGLIGIBLE) & (below >= 0) & (below < changes))
    inside[row, column] = bdtr(below[column], changes[column].astype(np.int64), share[row, 0])
    return np.asarray((weight * (inside if side == Verdict.RETAINED else 1 - inside)).sum(axis=1))
