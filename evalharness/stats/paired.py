"""Test paired 0/1 scores by counts of gained and lost answers: at a margin, an interval, and against no difference.

Of n units that both models answered, `gained` were wrong before and are right now, `lost` the reverse; Δ = (gained −
lost) / n. Counts may be fractions: an effective sample is n divided by a design effect.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr, ndtri


def tango_statistic(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> NDArray[np.float64]:
    """Return the score statistic of H0: Δ = `difference`, standard normal under it; arrays broadcast. It is large if
    the data lie above `difference`.

    T. Tango (1998), Statistics in Medicine 17:891-908: the variance is that of the maximum likelihood under H0, so zero
    cells are no special case. McNemar's statistic is the case difference = 0. If the variance is zero, the statistic is
    0 for data on H0 and infinite off it.
    """
    b, c, size, delta = (np.asarray(value, dtype=np.float64) for value in (gained, lost, n, difference))
    linear = -b - c + (2 * size - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = np.sqrt(np.maximum(linear**2 - 8 * size * constant, 0.0))
    losing = (root - linear) / np.maximum(4 * size, 1e-300)  # P(lost) under H0
    variance = size * (2 * losing + delta * (1 - delta))
    distance = b - c - size * delta
    distance = np.where(np.abs(distance) <= 1e-12 * np.maximum(size, 1.0), 0.0, distance)
    far = np.where(distance == 0.0, 0.0, np.copysign(np.inf, distance))
    return np.where(variance > 1e-12, distance / np.sqrt(np.maximum(variance, 1e-12)), far)


def tango_p(gained: float, lost: float, n: float, margin: float) -> tuple[float, float]:
    """Return (p_forgotten, p_retained): one-sided p-values of H0: Δ ≥ −margin and of H0: Δ ≤ −margin. n = 0 gives (1,
    1).
    """
    if n <= 0:
        return 1.0, 1.0
    if margin >= 1:  # no loss is that large
        return 1.0, 0.0
    z = float(tango_statistic(gained, lost, n, -margin))
    return float(ndtr(z)), float(ndtr(-z))


@lru_cache(maxsize=4096)
def tango_interval(gained: float, lost: float, n: float, level: float) -> tuple[float, float]:
    """Return the interval of Δ with two-sided coverage `level`: the differences that the score test does not reject. n
    = 0 gives (−1, 1).
    """
    if n <= 0:
        return -1.0, 1.0
    z, observed = float(ndtri(0.5 + level / 2)), (gained - lost) / n

    def beyond(difference: float, sign: float) -> float:
        """Return how far beyond z standard errors the data lie from H0: Δ = `difference`; plain numbers are quicker
        here.
        """
        distance = sign * (gained - lost - n * difference)
        if distance <= 1e-12 * max(n, 1.0):
            return -1.0
        linear = -gained - lost + (2 * n - gained + lost) * difference
        root = math.sqrt(max(linear * linear + 8 * n * lost * difference * (1 - difference), 0.0))
        variance = (root - linear) / 2 + n * difference * (1 - difference)
        return distance - z * math.sqrt(max(variance, 0.0))

    low, high = (
        float(brentq(beyond, -sign, observed, args=(sign,), xtol=1e-15)) if beyond(-sign, sign) > 0 else -sign
        for sign in (1.0, -1.0)
    )
    return low, high


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided exact p of H0: gains and losses are equally likely. No change gives 1."""
    if gained + lost == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))
