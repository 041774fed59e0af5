"""Swap the rows of two models at random, unit by unit: a test of no difference for any score that is a function of
summed rows; and how much each unit moves such a score.

All randomness is the Generator passed in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Summed rows (..., width) to scores (...)."""

CELLS = 1 << 21  # swaps held at once (16 MiB)
EXACT_UNITS = 12  # at most so many changed units: every sign pattern is tried
SWAPS = 4_000


def distinct_rows(rows: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """The distinct rows of `rows` (n, width) in lexical order, and how often each comes: `np.unique` along axis 0, many
    times as fast.
    """
    ordered = rows[np.lexsort(rows.T[::-1])]
    first = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[first], np.diff(np.append(first, len(rows)))


def influence(rows: Floats, score: Score) -> Floats:
    """Jackknife influence of each unit on the score, (n,): mean of the leave-one-out scores minus the one without it,
    times (n − 1) / n.
    """
    n = len(rows)
    left_out = score(rows.sum(axis=0) - rows)
    return np.asarray((left_out.mean() - left_out) * (n - 1) / n)


def swapped_differences(
    first: Floats, second: Floats, score: Score, replicates: int, rng: np.random.Generator
) -> Floats:
    """Differences second − first after the two rows of each unit were swapped at random, as if the models were one. ->
    (replicates,)

    Rows are (n, width). Approximate randomization; for scores that are means, the sign-flip test.
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
    """Two-sided p of H0: the two models' rows are exchangeable, by random swaps where too many units changed to try
    every pattern. Nothing changed gives 1.
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
    """Share of null values at least as far from zero, the observed one counted among them. `nulls` (replicates,)."""
    return float((1 + (np.abs(nulls) >= abs(observed) * (1 - 1e-9) - 1e-12).sum()) / (1 + len(nulls)))


def _changes(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """Where no unit's second row is in place: sums, then what each changed unit adds (changed, width), then the other
    side's sums.
    """
    change = (second - first)[np.any(second != first, axis=1)]
    return first.sum(axis=0), change, first.sum(axis=0) + change.sum(axis=0)
