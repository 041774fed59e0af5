"""Answers of base and candidate drawn by a law, as pairs; and whether two shares are as near as draws allow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from evalharness.stats.pairs import Pairs

Floats = NDArray[np.float64]


def paired(
    base: Floats, candidate: Floats, kind: str = "binary", chance: float = 0.5, margin: float | None = None
) -> Pairs:
    one = np.ones(len(base))
    rows = [np.column_stack([values, one]).astype(float) for values in (base, candidate)]
    return Pairs(*rows, one, lambda sums: sums[..., 0] / sums[..., 1], kind, 0.0, 1.0, 1.0, chance, margin)  # type: ignore[arg-type]


def flipped(n: int, score: float, flips: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Right answers lost and wrong ones gained at rates that leave the score where it is."""
    base = rng.random(n) < score
    lost, gained = flips / 2 / score, flips / 2 / (1 - score)
    moves = rng.random(n) < np.where(base, lost, gained)
    return base.astype(float), (base ^ moves).astype(float)


def graded(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Scores in 0-1 of which half change a little, either way alike."""
    base = rng.beta(4, 4, n)
    other = np.where(
        rng.random(n) < 0.5, np.clip(base + rng.choice([-1, 1], n) * rng.uniform(0.05, 0.3, n), 0, 1), base
    )
    return base, other


def near(share: float, foretold: float, times: int, draws: int = 0) -> bool:
    """Within four standard errors of both."""
    spread = max(foretold * (1 - foretold), 0.01)
    return abs(share - foretold) < 4 * math.sqrt(spread / times + (spread / draws if draws else 0))
