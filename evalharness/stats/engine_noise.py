"""Measure the engine's own noise with a placebo, and widen the tests by it.

A placebo is the base through an adapter that changes nothing; its answers differ from the base's only by the engine.
The effects of its changed units on the score, added up without their signs, are the most that such noise can move a
score in one direction. In a placebo most of them cancel, but that proves nothing about a candidate, which runs at
another time and in other batches. The tests use an upper confidence bound of the sum at their own error rate: that of a
Poisson count (F. Garwood 1936, Biometrika 28:437-442) of changes of equal size with the same sum and the same sum of
squares. With that bound f and the margin δ

    forgotten tests H0: Δ ≥ −(δ + f)        retained tests H0: Δ ≤ −(δ − f), and never rejects if f ≥ δ

so a candidate whose loss without noise is at the margin gets neither verdict more often than without noise. Noise that
is independent between units is already in the tests' variance: then the rule loses some power, and errs no more. A
placebo without changes widens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv

from evalharness.stats.assess import Finding
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, changed_units, net_changes, undo_each_change


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLevel:
    """The noise between the base and its placebo.

    `units`: how many were compared. `changed`: how many of them changed. `total`: their effects on the score, added up
    without signs, in the score's unit. `bound`: the upper confidence bound of `total`, by which tests are widened.
    """

    units: int
    changed: int
    total: float
    bound: float


def noise_level(pairs: Pairs, alpha: float) -> NoiseLevel:
    """Return the noise in pairs of the base's and its placebo's rows; the bound errs with probability `alpha`."""
    same_weights = np.array_equal(pairs.base[:, 1:2], pairs.candidate[:, 1:2])
    if not len(pairs.base):
        return NoiseLevel(units=0, changed=0, total=0.0, bound=0.0)
    if pairs.kind != MetricKind.CORPUS and same_weights:
        effects = np.abs(net_changes(pairs)) / pairs.base[:, 1].sum()
        effects = effects[effects > 0]
        changed = len(effects)
    else:
        effects, changed = np.abs(undo_each_change(pairs)), int(changed_units(pairs).sum())
    total = float(effects.sum())
    bound = total * garwood(total**2 / float(effects @ effects), alpha) if total else 0.0
    return NoiseLevel(units=len(pairs.base), changed=changed, total=total, bound=bound)


def garwood(count: float, alpha: float) -> float:
    """Return the upper 1 − alpha confidence bound of a Poisson mean after `count` (above 0) events, divided by
    `count`.
    """
    return float(gammaincinv(count + 1, 1 - alpha)) / count


def mean_noise(levels: list[tuple[NoiseLevel, float]]) -> NoiseLevel | None:
    """Return the noise of a mean over units, in margins; None without levels. `levels`: each with its unit's margin."""
    if not levels:
        return None
    return NoiseLevel(
        units=sum(level.units for level, _ in levels),
        changed=sum(level.changed for level, _ in levels),
        total=sum(level.total / margin for level, margin in levels) / len(levels),
        bound=sum(level.bound / margin for level, margin in levels) / len(levels),
    )


def widen(finding: Finding, noise: float) -> Finding:
    """Widen a finding's tests and the interval of its difference by `noise` on either side. A suite of one unit keeps
    the tests of that unit.
    """
    if not noise:
        return finding
    if finding.single is not None:
        return replace(finding, noise=noise)
    value, low, high = finding.difference
    ends = Interval(value, None if low is None else low - noise, None if high is None else high + noise)
    finding = replace(finding, difference=ends, noise=noise)
    if finding.margin is None or finding.p_forgotten is None or finding.p_retained is None:
        return finding
    beyond = finding.counts is not None and finding.margin + noise >= 1
    forgotten = 1.0 if beyond else finding.p_at(finding.margin + noise)[0]
    retained = finding.p_at(finding.margin - noise)[1] if noise < finding.margin else 1.0
    return replace(
        finding, p_forgotten=max(finding.p_forgotten, forgotten), p_retained=max(finding.p_retained, retained)
    )
