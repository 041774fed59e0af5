"""Merging of tensors by hand, value by value in numpy: sums, pruning by magnitude, TIES (Yadav et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def trimmed(values: Array, density: float) -> Array:
    """The largest share of the values; the others are zero."""
    kept = int(density * values.size)
    threshold = np.sort(np.abs(values), axis=None)[values.size - kept]
    return np.where(np.abs(values) >= threshold, values, 0)


def merged_by_hand(method: str, tensors: Sequence[Array], weights: Sequence[float], density: float | None) -> Array:
    parts = [np.asarray(each, np.float64) for each in tensors]
    if density is not None:
        parts = [trimmed(each, density) for each in parts]
    if method != "ties":
        return sum(weight * part for weight, part in zip(weights, parts, strict=True))
    merged = np.zeros_like(parts[0])
    for place in np.ndindex(merged.shape):
        values = [part[place] for part in parts]
        elected = 1 if sum(values) >= 0 else -1
        agreeing = [w * value for w, value in zip(weights, values, strict=True) if np.sign(value) == elected]
        merged[place] = sum(agreeing) / len(agreeing) if agreeing else 0.0
    return merged
