"""Choose how far to go from base to candidate, and where to look next: pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

from evalharness.report.repair import PathPoint


class RepairRule(StrEnum):
    """By which rule the part of the way is chosen."""

    WITHIN_MARGIN = "within-margin"
    KNEE = "knee"


WORDS: Mapping[str, str] = {
    RepairRule.WITHIN_MARGIN: (
        "Of the λ that gain on the target and whose suite is within its margin (the interval of its change ends at −1 "
        "margin or above), the one with the most gain was chosen, the smaller of equals."
    ),
    RepairRule.KNEE: (
        "The λ was chosen that keeps the largest part of the gain on the target less the part of the suite's loss that "
        "it keeps, the smaller of equals."
    ),
}
FIRST = (0.25, 0.5, 0.75)
MORE = 3  # looks between them, at most
KEPT = -1.0  # margins: the suite's own


def needless(rule: RepairRule, candidate: PathPoint) -> str:
    """Say why there is nothing to repair in the candidate as it is; "" where there is."""
    if candidate.gain is None or candidate.suite is None:
        return "the gain on the target or the change over the suite could not be measured"
    if candidate.gain.value <= 0:
        return "the candidate gained nothing on its target that a part of the way could keep"
    if candidate.suite.value >= 0:
        return "the candidate lost nothing over the suite"
    if rule == RepairRule.WITHIN_MARGIN and _within(candidate):
        return "the candidate's suite is within its margin as it is"
    return ""


def choose(rule: RepairRule, points: Sequence[PathPoint]) -> PathPoint | None:
    """The point that the rule chooses of those between base and candidate; None where none qualifies."""
    score = score_of(rule, points)
    scored = [(value, point) for point in points if 0 < point.scale < 1 and (value := score(point)) is not None]
    return max(scored, key=lambda each: (each[0], -each[1].scale))[1] if scored else None


def next_scale(rule: RepairRule, points: Sequence[PathPoint]) -> float | None:
    """Where to look next: between the best point and the neighbour where a better one is to be expected; None when
    there were looks enough.
    """
    scales = sorted(point.scale for point in points)
    if (left := next((scale for scale in FIRST if scale not in scales), None)) is not None:
        return left
    if len(scales) >= len(FIRST) + MORE + 2:
        return None
    best = choose(rule, points)
    if best is None:
        return scales[1] / 2
    below, above = next((a, c) for (a, b), (_, c) in pairwise(pairwise(scales)) if b == best.scale)
    if rule == RepairRule.WITHIN_MARGIN:  # beyond it the suite is not within its margin, or nothing more was gained
        return (best.scale + above) / 2
    score, at = score_of(rule, points), {point.scale: point for point in points}
    worth = {scale: score(at[scale]) or 0.0 for scale in (below, above)}
    side = above if worth[above] >= worth[below] else below
    return (best.scale + side) / 2


def _within(point: PathPoint) -> bool:
    return point.suite is not None and point.suite.low is not None and point.suite.low >= KEPT


def score_of(rule: RepairRule, points: Sequence[PathPoint]) -> Callable[[PathPoint], float | None]:
    """What the rule maximises; None of a point that does not qualify."""
    whole = next(point for point in points if point.scale == 1)

    def score(point: PathPoint) -> float | None:
        if point.gain is None or point.suite is None or point.gain.value <= 0:
            return None
        if rule == RepairRule.WITHIN_MARGIN:
            return point.gain.value if _within(point) else None
        assert whole.gain is not None and whole.suite is not None
        kept = point.gain.value / whole.gain.value - point.suite.value / whole.suite.value
        return kept if kept > 0 else None

    return score
