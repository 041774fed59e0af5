"""Compare two methods at equal gain on the target, interpolated along each method's rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

PARTS = (0.25, 0.5, 0.75)  # of the range of gains that both methods reach in a seed
Curve = Sequence[tuple[float, float]]  # (gain, suite) by ascending rate


def at_gain(curve: Curve, gain: float) -> float | None:
    """The suite's change where the curve first reaches the gain, linear between neighbouring rates; None: it never
    does.
    """
    for (gain_0, suite_0), (gain_1, suite_1) in pairwise(curve):
        if min(gain_0, gain_1) <= gain <= max(gain_0, gain_1):
            share = 0.0 if gain_0 == gain_1 else (gain - gain_0) / (gain_1 - gain_0)
            return suite_0 + share * (suite_1 - suite_0)
    return None


def common(one: Curve, other: Curve) -> tuple[float, float] | None:
    """The range of gains that both curves reach; None where there is none."""
    low = max(min(gain for gain, _ in curve) for curve in (one, other))
    high = min(max(gain for gain, _ in curve) for curve in (one, other))
    return (low, high) if low < high else None


def curve_of(lines: Sequence[dict[str, Any]], method: str, seed: int) -> Curve:
    """The method's points of one seed, replay and repairs aside."""
    mine = [each for each in lines if (each["method"], each["seed"]) == (method, seed) and not each["of"]]
    mine = sorted((each for each in mine if not each["replay"]), key=lambda each: each["rate"])
    return [(each["gain"]["value"], each["suite"]["value"]) for each in mine]


def matched(lines: Sequence[dict[str, Any]], methods: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """One row a part of the common range: gain and both methods' suites, means over the seeds that have all points."""
    seeds = sorted({each["seed"] for each in lines})
    pairs = [tuple(curve_of(lines, method, seed) for method in methods) for seed in seeds]
    whole = max((len(curve) for pair in pairs for curve in pair), default=0)
    complete = [(seed, pair) for seed, pair in zip(seeds, pairs, strict=True) if min(map(len, pair)) == whole >= 2]
    ranges = [(seed, pair, common(*pair)) for seed, pair in complete]
    for part in PARTS:
        rows = []
        for seed, pair, span in ranges:
            if span is not None:
                gain = span[0] + part * (span[1] - span[0])
                rows.append((seed, gain, *(at_gain(curve, gain) for curve in pair)))
        if rows:
            values = [(one, other) for _, _, one, other in rows if one is not None and other is not None]
            yield {
                "gain": fmean(gain for _, gain, _, _ in rows),
                "seeds": [seed for seed, *_ in rows],
                **{method: [pair[i] for pair in values] for i, method in enumerate(methods)},
            }
