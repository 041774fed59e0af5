"""Test for no difference by swapping two models' rows at random, and compute jackknife influences.

Both work for any score that is a function of summed rows. All randomness is the Generator passed in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""A function of summed rows (..., width) with scores (...)."""

CELLS = 1 << 21  # swaps in memory at once (16 MiB)
EXACT_UNITS = 12  # up to this number of changed units, every sign pattern is tried
SWAPS = 4_000


def distinct_rows(rows: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the distinct rows of `rows` (n, width) in lexical order, and their counts. It is many times as fast as
    `np.unique`.
    """
    ordered = rows[np.lexsort(rows.T[::-1])]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[first], np.diff(np.append(first, len(rows)))


def influence(rows: Floats, score: Score) -> Floats:
    """Return the jackknife influence of each unit on the score, (n,): the mean of the leave-one-out scores minus the
    score without the unit, times (n − 1) / n.
    """
    n = len(rows)
    left_out = score(rows.sum(axis=0) - rows)
    return np.asarray((left_out.mean() - left_out) * (n - 1) / n)


def swapped_differences(
    first: Floats, second: Floats, score: Score, replicates: int, rng: np.random.Generator
) -> Floats:
    """Return the differences second − first, (replicates,), after swapping the two rows of each unit at random.

    Rows are (n, width). This is approximate randomization; for scores that are means, the sign-flip test.
    """
    start, change, away = _changes(first, second)
    values = np.empty(replicates)
    step = min(max(1, CELLS // max(1, len(change))), replicates)
    swaps = np.empty((step, len(change)))
    for begin in range(0, replicates, step):
        block = swaps[: min(step, replicates - begin)]
        block[:] = rng.integers(0, 2, size=block.shape, dtype=np.int8)
        moved = block @ change
        values[begin : begin + len(block)] = score(start + moved) - score(away - moved)
    return values


def swap_p(first: Floats, second: Floats, score: Score, replicates: int, rng: np.random.Generator) -> float:
    """Return the two-sided p of H0: the two models' rows are exchangeable.

    It tries all patterns of swaps, or random ones if more than EXACT_UNITS units changed. Without changes: 1.
    """
    start, change, away = _changes(first, second)
    observed = float(score(start + change.sum(axis=0)) - score(away - change.sum(axis=0)))
    if len(change) > EXACT_UNITS:
        return monte_carlo_p(observed, swapped_differences(first, second, score, replicates, rng))
    patterns = (np.arange(1 << len(change))[:, None] >> np.arange(len(change))) & 1
    moved = patterns.astype(np.float64) @ change
    values = score(start + moved) - score(away - moved)
    return float((np.abs(values) >= abs(observed) * (1 - 1e-9) - 1e-12).mean())


def monte_carlo_p(observed: float, nulls: Floats) -> float:
    """Return the share of values that are at least as far from zero as the observed one, which is counted, too. `nulls`
    (replicates,): the other values.
    """
    return float((1 + (np.abs(nulls) >= abs(observed) * (1 - 1e-9) - 1e-12).sum()) / (1 + len(nulls)))


def _changes(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the first rows' sums, what swapping each changed unit adds (changed, width), and the second rows' sums."""
    change = (second - first)[np.any(second != first, axis=1)]
    return first.sum(axis=0), change, first.sum(axis=0) + change.sum(axis=0)
