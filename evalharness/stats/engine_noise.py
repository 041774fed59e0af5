"""Widen what is tested by what the engine alone moves: how far the base is from itself, answered once more.

A placebo is the base through an adapter that changes nothing; its answers differ from the base's by the engine alone.
Where they differ on some units, the effects of these on the score, added up without their signs, are the most that such
noise can move a score, all of it in one direction. In a placebo most of it cancels. That proves nothing of a candidate,
which is answered at another time and in other batches, so nothing is taken off for it. Of the sum an upper confidence
bound counts, at the error rate of the tests: that of a Poisson count (F. Garwood 1936, Biometrika 28:437-442), with as
many changes of equal size as have the same sum and the same sum of squares. With that bound f and the margin δ

    forgotten tests H0: Δ ≥ −(δ + f)        retained tests H0: Δ ≤ −(δ − f), and is never shown where f ≥ δ

so that a candidate whose loss is at the margin before noise is called neither more often than without any. Noise that
is independent from unit to unit is in the tests' own variance already: then the rule gives away some power, and is
never too bold. A placebo in which nothing changed widens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv

from evalharness.stats.assess import Finding
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, changed_units, net_changes, put_back


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseLevel:
    """How far the base, answered once more, is from itself: of `units` units `changed`; `seen`: their effects on the
    score, added up without signs, in its unit; `bound`: the upper confidence bound of that, by which tests are widened.
    """

    units: int
    changed: int
    seen: float
    bound: float


def noise_level(pairs: Pairs, alpha: float) -> NoiseLevel:
    """The noise that pairs of the base's rows and its placebo's show; the bound errs with probability `alpha`."""
    same_weights = np.array_equal(pairs.base[:, 1:2], pairs.candidate[:, 1:2])
    if not len(pairs.base):
        return NoiseLevel(units=0, changed=0, seen=0.0, bound=0.0)
    if pairs.kind != MetricKind.CORPUS and same_weights:
        effects = np.abs(net_changes(pairs)) / pairs.base[:, 1].sum()
        effects = effects[effects > 0]
        changed = len(effects)
    else:
        effects, changed = np.abs(put_back(pairs)), int(changed_units(pairs).sum())
    seen = float(effects.sum())
    bound = seen * garwood(seen**2 / float(effects @ effects), alpha) if seen else 0.0
    return NoiseLevel(units=len(pairs.base), changed=changed, seen=seen, bound=bound)


def garwood(count: float, alpha: float) -> float:
    """The upper 1 − alpha confidence bound of a Poisson mean, of which `count` (above 0) was seen, as a multiple of
    it.
    """
    return float(gammaincinv(count + 1, 1 - alpha)) / count


def mean_noise(levels: list[tuple[NoiseLevel, float]]) -> NoiseLevel | None:
    """The noise of a mean over units, in margins, of those that have one; None where none does. `levels`: each with its
    unit's margin.
    """
    if not levels:
        return None
    return NoiseLevel(
        units=sum(level.units for level, _ in levels),
        changed=sum(level.changed for level, _ in levels),
        seen=sum(level.seen / margin for level, margin in levels) / len(levels),
        bound=sum(level.bound / margin for level, margin in levels) / len(levels),
    )


def widened(finding: Finding, noise: float) -> Finding:
    """The finding with its tests and the interval of its difference widened by `noise` on either side; as it stands
    where that is 0. A suite of one unit is widened as its unit is.
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
