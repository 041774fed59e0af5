"""Compute intervals of proportions, and design effects of dependent rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

ENOUGH_CHANGED = 20  # with fewer changed units, their dependence cannot be estimated


def wilson(right: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion with two-sided coverage `level`, from `right` of n (fractions allowed).

    n = 0 gives (0, 1). E. B. Wilson (1927), JASA 22:209-212.
    """
    if n <= 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2))
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    low = 0.0 if right <= 0 else max(0.0, float(centre - half))
    high = 1.0 if right >= n else min(1.0, float(centre + half))
    return low, high


def whole_units(sizes: NDArray[np.float64]) -> float:
    """Return the design effect if all rows of a unit were equal: Σ size² / Σ size. `sizes`: rows in each unit,
    (units,).
    """
    return float((sizes**2).sum() / sizes.sum()) if sizes.sum() > 0 else 1.0


def few_units(sizes: NDArray[np.float64]) -> float:
    """Return the factor that raises a design effect estimated from few units: at least 1, near 1 for many. `sizes`:
    (units,).

    It replaces Student's t in a test with normal quantiles z: t² / z² = 1 + (1 + z²) / 2ν for ν degrees of freedom, and
    (1 + z²) / 2 = 1.85 at a level of .05, here 2. Units of unequal size count as (Σ size)² / Σ size². Units of one row
    need no estimate: 1.
    """
    if sizes.max(initial=0.0) <= 1:
        return 1.0
    return 1 + 2 / max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1)


def design_effect(sums: NDArray[np.float64], sizes: NDArray[np.float64], variance: float) -> float:
    """Return the design effect: the variance of the mean over units, divided by that of independent rows; at least 1.

    `sums`: summed rows of each unit, (units,); `sizes`: rows in each, (units,); `variance`: of one row. The variance
    over units is that of the ratio Σ sums / Σ sizes (W. G. Cochran, Sampling Techniques, 1977, §9A). If it cannot be
    estimated: `whole_units`.
    """
    units, total = len(sums), float(sizes.sum())
    if units < 2 or total <= 0 or variance <= 0:
        return max(1.0, whole_units(sizes))
    residuals = sums - sums.sum() / total * sizes
    clustered = units / (units - 1) * float((residuals**2).sum()) / total**2
    return max(1.0, clustered / (variance / total))
