"""Seed random numbers by content, so that they are the same on every machine and in any order of draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from evalharness import fingerprint


def generator(value: Any) -> np.random.Generator:
    """Return a generator of random numbers, seeded by a JSON-like value: a seed, and names of the quantity that is
    drawn.
    """
    return np.random.default_rng(int(fingerprint.of_value(value)[:16], 16))
