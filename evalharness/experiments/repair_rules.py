"""Choose how far to go from base to candidate, and which part of the way to measure next (pure functions).

λ is the part of the way: 0 is the base, 1 the candidate. A point is the measurement at one λ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

from evalharness.report.repair import PathPoint


class RepairRule(StrEnum):
    """The rules that choose the part of the way from base to candidate."""

    WITHIN_MARGIN = "within-margin"
    KNEE = "knee"


WORDS: Mapping[str, str] = {
    RepairRule.WITHIN_MARGIN: (
        "Of the λ that gain on the target and whose suite is within its margin (the interval of its change ends at −1 "
        "margin or above), the one with the most gain was chosen, the smaller of equals."
    ),
    RepairRule.KNEE: (
        "Each λ is worth the part of the gain on the target that it keeps less the part of the suite's loss that it "
        "keeps; of those worth at most 0.05 less than the best, the one with the most gain was chosen, the smaller of "
        "equals."
    ),
}
FIRST = (0.25, 0.5, 0.75)
MORE = 3  # looks between them, at most
KEPT = -1.0  # margins of the suite
ABOUT_EQUAL = 0.05  # share of the gain; hundreds of rows do not tell smaller differences apart


def reason_against(rule: RepairRule, candidate: PathPoint) -> str:
    """Return why the candidate should not be repaired; "" if it should."""
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
    """Choose a point between base and candidate by the rule; None if none qualifies."""
    scored = _scored(rule, points)
    if not scored:
        return None
    least = max(scored.values()) - (ABOUT_EQUAL if rule == RepairRule.KNEE else 0.0)
    good = [point for point in points if point.scale in scored and scored[point.scale] >= least]
    return max(good, key=lambda point: (point.gain.value if point.gain else 0.0, -point.scale))


def next_scale(rule: RepairRule, points: Sequence[PathPoint]) -> float | None:
    """Return the next λ to measure, between the best point and the neighbour where a better one is likely; None after
    enough looks.
    """
    scales = sorted(point.scale for point in points)
    if (first := next((scale for scale in FIRST if scale not in scales), None)) is not None:
        return first
    if len(scales) >= len(FIRST) + MORE + 2:
        return None
    scored = _scored(rule, points)
    if not scored:
        return scales[1] / 2
    best = max(scored, key=lambda scale: (scored[scale], -scale))
    below, above = next((a, c) for (a, b), (_, c) in pairwise(pairwise(scales)) if b == best)
    if rule == RepairRule.WITHIN_MARGIN:  # above it the suite is not within its margin, or nothing more was gained
        return (best + above) / 2
    gaps = {below: (best - below, scored.get(below, 0.0)), above: (above - best, scored.get(above, 0.0))}
    return (best + max(gaps, key=lambda side: (*gaps[side], side))) / 2  # the wider gap; of equal ones the better side


def _within(point: PathPoint) -> bool:
    return point.suite is not None and point.suite.low is not None and point.suite.low >= KEPT


def score_of(rule: RepairRule, points: Sequence[PathPoint]) -> Callable[[PathPoint], float | None]:
    """Return the function that the rule maximises over points; it returns None for a point that does not qualify."""
    whole = next(point for point in points if point.scale == 1)

    def score(point: PathPoint) -> float | None:
        if point.gain is None or point.suite is None or point.gain.value <= 0:
            return None
        if rule == RepairRule.WITHIN_MARGIN:
            return point.gain.value if _within(point) else None
        assert whole.gain is not None and whole.suite is not None
        worth = point.gain.value / whole.gain.value - point.suite.value / whole.suite.value
        return worth if worth > 0 else None

    return score


def _scored(rule: RepairRule, points: Sequence[PathPoint]) -> dict[float, float]:
    """Return λ -> the value that the rule maximises, for each λ between the ends that qualifies."""
    score = score_of(rule, points)
    each = ((point.scale, score(point)) for point in points if 0 < point.scale < 1)
    return {scale: value for scale, value in each if value is not None}
