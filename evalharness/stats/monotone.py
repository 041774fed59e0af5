"""Fit a curve that never falls to points, with prediction intervals for new points."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneCurve:
    """A curve from (0, 0) that never falls: straight between its knots, level beyond the last."""

    x: Floats
    y: Floats

    def at(self, x: Floats) -> Floats:
        """Return the curve's values at `x`, which are at least 0."""
        return np.asarray(np.interp(x, self.x, self.y), dtype=np.float64)


def monotone_curve(x: Floats, y: Floats) -> MonotoneCurve:
    """Fit the curve by least squares to points with `x` at least 0: isotonic regression with a knot in the middle of
    each level stretch (A. P. Oron and N. Flournoy, Centered Isotonic Regression, 2017), values below 0 raised to 0.
    """
    places, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    fit = isotonic_regression(means, weights=counts.astype(np.float64))
    bounds = list(zip(fit.blocks[:-1], fit.blocks[1:], strict=True))
    middles = [float(np.average(places[low:high], weights=counts[low:high])) for low, high in bounds]
    levels = [max(0.0, float(fit.x[low])) for low, _ in bounds]
    knots = [(place, level) for place, level in zip(middles, levels, strict=True) if place > 0]
    return MonotoneCurve(np.array([0.0, *(k for k, _ in knots)]), np.array([0.0, *(v for _, v in knots)]))


@dataclass(frozen=True, slots=True, eq=False)
class ConformalCurve:
    """A curve with intervals: `curve` is fitted to all points, `without[k]` to those outside fold k; `residuals` are
    the distances of the points from the curve that is fitted without their fold.
    """

    curve: MonotoneCurve
    without: tuple[MonotoneCurve, ...]
    residuals: Floats

    @property
    def error(self) -> float:
        """The mean distance of a point from the curve that is fitted without its fold."""
        return float(np.mean(self.residuals)) if len(self.residuals) else math.inf

    def interval(self, x: float, coverage: float) -> tuple[float, float] | None:
        """Return an interval that holds the value of a new point at `x` with at least this probability, if the new
        point is exchangeable with the others; None if there are too few points.

        Jackknife-minmax (R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, Predictive inference with the
        jackknife+, Annals of Statistics 49, 2021), whole folds left out at a time.
        """
        rank = math.ceil(coverage * (len(self.residuals) + 1))
        if rank > len(self.residuals):
            return None
        width = float(np.sort(self.residuals)[rank - 1])
        values = [float(curve.at(np.array([x]))[0]) for curve in self.without]
        return min(values) - width, max(values) + width


def conformal_curve(x: Floats, y: Floats, folds: Sequence[Hashable]) -> ConformalCurve:
    """Fit a curve with intervals. `folds`: the fold of each point. With one fold there are no residuals."""
    names = list(dict.fromkeys(folds))
    curve = monotone_curve(x, y)
    if len(names) < 2:
        return ConformalCurve(curve, (), np.zeros(0))
    without, residuals = [], np.zeros(len(x))
    for name in names:
        own = np.array([fold == name for fold in folds])
        without.append(monotone_curve(x[~own], y[~own]))
        residuals[own] = np.abs(y[own] - without[-1].at(x[own]))
    return ConformalCurve(curve, tuple(without), residuals)
