"""Compute exact p-values at a margin for few gained and lost answers: Tango's statistic without an approximation.

The null fixes Δ = −margin but not ψ = P(an answer changed). Given ψ, the number of changes is binomial(n, ψ), and the
losses among m changes are binomial(m, r) with r = (ψ + margin) / 2ψ on the boundary. The p-value is the largest over
a confidence set of ψ of level 1 − GAMMA, plus GAMMA: R. L. Berger and D. D. Boos (1994), JASA 89:1012-1016. That bounds
the work: 40 changes of 20 000 answers need some 150 values of m.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, gammaln, xlog1py, xlogy

from evalharness.stats.enums import Side, Verdict
from evalharness.stats.paired import tango_statistic

GAMMA = 1e-6  # probability that ψ is outside its confidence set
TAIL = 1e-9  # probability of the numbers of changes that are not enumerated; added to the p-value
GRID = 24  # values of ψ in the first search; then twice REFINED values around the best
REFINED = 9
NEGLIGIBLE = 1e-14  # numbers of changes less probable than this count as inside the region
FEW_CHANGES = 40  # below this number of changes the normal approximation is not used


@lru_cache(maxsize=4096)
def exact_p(gained: int, lost: int, n: int, margin: float, side: Side, enough: float = 1.0) -> float:
    """Return p of H0: Δ ≥ −margin (side "forgotten") or of H0: Δ ≤ −margin (side "retained"), valid at every n; 1 for n
    = 0.

    It is never below GAMMA. It is meant for fewer than FEW_CHANGES changes: work grows with the square of their number.
    The search ends once p is above `enough`; the value returned is then above `enough`, but maybe smaller than p.
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
    )  # the worst share of losses under the null has a kink at the margin
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
    """Return the Clopper-Pearson interval of ψ at level 1 − GAMMA."""
    low = float(betaincinv(changes, n - changes + 1, GAMMA / 2)) if changes else 0.0
    high = float(betaincinv(changes + 1, n - changes, 1 - GAMMA / 2)) if changes < n else 1.0
    return low, high


def _window(low: float, high: float, n: int) -> NDArray[np.float64]:
    """Return the numbers of changes whose complement has probability below TAIL at every rate in [low, high]."""
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
    """Return for each number of changes the limit of losses that are at least as extreme as those observed: at most the
    limit (side "retained"), or at least (side "forgotten").
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
    """Return P(region) at each rate of change, (rates,), with the share of losses that makes it largest under
    the null.
    """
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
