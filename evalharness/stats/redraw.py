"""Simulate answers of two models, from assumptions or an earlier run's rows, with or without a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.optimize import brentq

from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Pairs, changed_units
from evalharness.stats.resample import Floats

Drawing = Callable[[np.random.Generator], Pairs]
"""Draws one set of answers of two models."""
Losing = Callable[[float], Drawing | None]
"""The Drawing with a given true drop of the score (0: equally good models); None if that much cannot be lost."""


def draw_answers(n: int, score: float, flips: float, chance: float | None, drop: float = 0.0) -> Drawing | None:
    """Draw n independent 0/1 answers of a base and a candidate. The base is right in a share `score` of them; a share
    `flips` changes, or as much as the drop needs.
    """
    if not 0 <= drop <= 1:
        return None
    flips = max(flips, drop)
    lost, gained = min((flips + drop) / 2, 1.0), (flips - drop) / 2
    right = min(max(score, lost), 1 - gained)
    shares = np.array([right - lost, lost, gained, 1 - right - gained]).clip(0.0)
    cells = np.array([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
    one = np.ones(n)

    def draw(rng: np.random.Generator) -> Pairs:
        rights = np.repeat(cells, rng.multinomial(n, shares / shares.sum()), axis=0)
        base, candidate = (np.column_stack([rights[:, i], one]) for i in (0, 1))
        return Pairs(base, candidate, one, _share, MetricKind.BINARY, 0.0, 1.0, 1.0, chance, None)

    return draw


def _share(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def redraw_units(pairs: Pairs, units: int, drop: float = 0.0) -> Drawing | None:
    """Draw `units` units of an earlier run with replacement, and swap the models' rows of each at random.

    Without a drop the two models are equally good. With one, the better row of a changed unit is the base's so much
    more often that the candidate's expected score is lower by the drop. If that is not enough, changed units are drawn
    more often; None if that is not enough either.
    """
    tilt = _tilt(pairs, drop)
    if tilt is None:
        return None
    share, first, better, worse = tilt
    of_changed = changed_units(pairs)
    kinds = (np.flatnonzero(of_changed), np.flatnonzero(~of_changed))

    def draw(rng: np.random.Generator) -> Pairs:
        many = int(rng.binomial(units, share))
        sizes = (many, units - many)
        places = np.concatenate(
            [kind[rng.integers(0, len(kind), size)] for kind, size in zip(kinds, sizes, strict=True) if size]
            or [kinds[0]]
        )
        base_better = (rng.random(units) < first)[:, None]
        base = np.where(base_better, better[places], worse[places])
        candidate = np.where(base_better, worse[places], better[places])
        return replace(pairs, base=base, candidate=candidate, sizes=pairs.sizes[places])

    return draw


def _tilt(pairs: Pairs, drop: float) -> tuple[float, float, Floats, Floats] | None:
    """Return how to draw rows with an expected drop: (share of changed units, probability that the better row is the
    base's, better and worse rows (units, width)).
    """
    changed = changed_units(pairs)
    units, share_changed, whole = (
        len(changed),
        float(changed.mean()) if len(changed) else 0.0,
        pairs.candidate.sum(axis=0),
    )
    raises = pairs.sign * (pairs.score(whole + pairs.base - pairs.candidate) - pairs.score(whole)) > 0
    better, worse = (
        np.where(raises[:, None], *rows) for rows in ((pairs.base, pairs.candidate), (pairs.candidate, pairs.base))
    )
    if drop <= 0 or not changed.any():
        return (share_changed, 0.5, better, worse) if drop <= 0 else None

    def short(share: float, first: float) -> float:
        """Return the wanted drop minus the expected one."""
        still = units * (1 - share) * pairs.base[~changed].mean(axis=0) if share < 1 else 0.0
        up, down = (units * share * rows[changed].mean(axis=0) for rows in (better, worse))
        rows = (still + first * up + (1 - first) * down, still + first * down + (1 - first) * up)
        return drop - pairs.sign * float(pairs.score(rows[0]) - pairs.score(rows[1]))

    if short(share_changed, 1.0) <= 0:
        return share_changed, float(brentq(partial(short, share_changed), 0.5, 1.0)), better, worse
    if short(1.0, 1.0) > 0:
        return None
    return float(brentq(lambda share: short(share, 1.0), share_changed, 1.0)), 1.0, better, worse


def changed_share(pairs: Pairs) -> tuple[int, float]:
    """Return the number of changed units of an earlier run, and their share; if none changed, the share is that
    of one.
    """
    number = int(changed_units(pairs).sum())
    return number, max(1, number) / max(1, len(pairs.base))


def base_skill(pairs: Pairs) -> float | None:
    """Return by how much an earlier run's base is better than chance (below 0: worse); None if chance is unknown."""
    return pairs.skill(float(pairs.score(pairs.base.sum(axis=0))))
