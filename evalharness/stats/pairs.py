"""Pair two models' rows on the same units, and pool the pairs of several tasks.

A unit is what was drawn independently (a question, a passage); its row holds the numbers from which the score is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalharness.stats.enums import MetricKind
from evalharness.stats.resample import Floats, Score

NO_CHANGE = 1e-9  # differences smaller than this share of the range (without one: of the values) are rounding


class Interval(NamedTuple):
    """A value with the ends of its interval; None without one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """The rows (n, width) of two models on the same n units, and how they are scored.

    `base`, `candidate`: the rows. `sizes` (n,): examples in each unit. `kind`: "binary" and "graded" scores are Σ
    row[0] / Σ row[1], values in [low, high]; a "corpus" score is any function `score` of the summed rows. `sign`: −1 if
    a lower score is better. `chance`: the score of guessing, None: unknown. `margin`: the largest acceptable loss,
    None: the pairs are only described. Both are in the metric's natural unit. `order` (n,): uniform numbers in [0, 1)
    that put units into rounds; None if the run has no rounds.
    """

    base: Floats
    candidate: Floats
    sizes: Floats
    score: Score
    kind: MetricKind
    low: float
    high: float
    sign: float
    chance: float | None
    margin: float | None
    order: Floats | None = None

    @property
    def bounded(self) -> bool:
        """Whether the range of scores is finite."""
        return bool(np.isfinite(self.high - self.low))

    def skill(self, score: float) -> float | None:
        """Return a score minus chance, with the sign turned so that + is better; None if chance is unknown."""
        return None if self.chance is None else self.sign * (score - self.chance)

    def difference(self, rows: Floats) -> Floats:
        """Return differences (...) of the scores of summed rows (..., 2 × width), base and candidate side by side; + is
        better.
        """
        width = self.base.shape[1]
        return self.sign * (self.score(rows[..., width:]) - self.score(rows[..., :width]))


def unit_loss(pairs: Pairs) -> float:
    """Return the most that one unit can take from the score: its share of the range.

    Units of a corpus score have no fixed share (in F1 a rare class weighs more). There it is also at least the effect
    of any changed unit, and twice the largest change of the base's score by leaving one unit out: a unit that goes
    wrong is one left out and another put in. For unbounded scores the observed values give the range.
    """
    share = _range(pairs) * float(pairs.sizes.max() / max(pairs.sizes.sum(), 1.0))
    if pairs.kind != MetricKind.CORPUS or len(pairs.base) < 2:
        return share
    whole = pairs.base.sum(axis=0)
    left_out = float(np.abs(pairs.score(whole - pairs.base) - pairs.score(whole)).max())
    return max(share, 2 * left_out, float(np.abs(undo_each_change(pairs)).max(initial=0.0)))


def _range(pairs: Pairs) -> float:
    if pairs.bounded:
        return pairs.high - pairs.low
    if pairs.kind == MetricKind.CORPUS or not len(pairs.base):
        return 0.0
    rows = np.concatenate([pairs.base, pairs.candidate])
    return float(np.ptp(rows[:, 0] / np.maximum(rows[:, 1], 1e-300)))


def net_changes(pairs: Pairs) -> Floats:
    """Return the improvement of each unit's sum, (n,), for a score that is a mean; rounding differences are 0."""
    net = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0])
    values = np.abs(pairs.base[:, 0]) + np.abs(pairs.candidate[:, 0])
    scale = (pairs.high - pairs.low) * pairs.base[:, 1] if pairs.bounded else values
    return np.where(np.abs(net) < NO_CHANGE * scale, 0.0, net)


def changed_units(pairs: Pairs) -> NDArray[np.bool_]:
    """Return which units have different rows in the two models, (n,)."""
    return np.asarray(np.any(pairs.base != pairs.candidate, axis=1))


def undo_each_change(pairs: Pairs) -> Floats:
    """Return the change of the candidate's score if one changed unit gets the base's row back, for each, (changed,)."""
    whole = pairs.candidate.sum(axis=0)
    return pairs.score(whole + (pairs.base - pairs.candidate)[changed_units(pairs)]) - pairs.score(whole)


def pool_pairs(members: Sequence[Pairs], margin: float | None, macro: bool = False) -> Pairs:
    """Pool the units of several tasks, with the mean chance over their examples. Members without units are left out.

    `macro`: the score is the plain mean of the members' scores, which must be Σ row[0] / Σ row[1]: each member's rows
    are scaled to the same total count, and the chance is the plain mean. Scaled rows are no longer 0 or 1: a binary
    score becomes a graded one.
    """
    first = next((pairs for pairs in members if len(pairs.base)), members[0])
    counted = [pairs for pairs in members if len(pairs.base)] or [first]
    if macro and len(first.base):
        total = sum(float(pairs.base[:, 1].sum()) for pairs in counted)
        counted = [_scaled(pairs, total / (len(counted) * float(pairs.base[:, 1].sum()))) for pairs in counted]
    weights = [1.0 if macro else float(pairs.sizes.sum()) for pairs in counted]
    return replace(
        first,
        base=np.concatenate([pairs.base for pairs in counted]),
        candidate=np.concatenate([pairs.candidate for pairs in counted]),
        sizes=np.concatenate([pairs.sizes for pairs in counted]),
        kind=MetricKind.GRADED if macro or any(pairs.kind == MetricKind.GRADED for pairs in members) else first.kind,
        chance=_mean_chance(counted, weights),
        margin=margin,
        order=None
        if first.order is None
        else np.concatenate([pairs.order for pairs in counted if pairs.order is not None]),
    )


def _mean_chance(counted: Sequence[Pairs], weights: Sequence[float]) -> float | None:
    """Return the weighted mean of the members' chance; None if any is unknown."""
    chances = [pairs.chance for pairs in counted if pairs.chance is not None]
    if len(chances) < len(counted):
        return None
    return float(np.average(chances, weights=weights if sum(weights) else None))


def _scaled(pairs: Pairs, weight: float) -> Pairs:
    return replace(pairs, base=pairs.base * weight, candidate=pairs.candidate * weight, sizes=pairs.sizes * weight)


class UnitPairing(NamedTuple):
    """The units that two models have in common, paired by id.

    `first`, `second` (both,): the places of the same unit in either model. `first_lacks`: number of units that only the
    second has; `second_lacks`: the reverse. `uneven`: number of units of which the two answered different numbers of
    examples.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    first_lacks: int
    second_lacks: int
    uneven: int


def match_units(
    first: Sequence[str], first_sizes: Sequence[int], second: Sequence[str], second_sizes: Sequence[int]
) -> UnitPairing:
    """Pair units by id, in the first model's order; sizes: examples answered in each unit. Raises ValueError for a
    repeated id.
    """
    ours, theirs = ({unit: place for place, unit in enumerate(units)} for units in (first, second))
    if len(ours) < len(first) or len(theirs) < len(second):
        raise ValueError("a unit id is given twice")
    shared = [(place, theirs[unit]) for unit, place in ours.items() if unit in theirs]
    both = [(one, other) for one, other in shared if first_sizes[one] == second_sizes[other]]
    places = np.array(both, dtype=np.intp).reshape(len(both), 2)
    return UnitPairing(
        places[:, 0], places[:, 1], len(theirs) - len(shared), len(ours) - len(shared), len(shared) - len(both)
    )
