"""Unit ids of two models to the places of the units that both answered in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Matched(NamedTuple):
    """`first[i]` and `second[i]` are places of the same unit, (both,). The counts are of units that could not be
    paired.

    `first_lacks`: units that only the second has; `second_lacks` the reverse; `uneven`: units of which the two answered
    different numbers of examples.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    first_lacks: int
    second_lacks: int
    uneven: int


def match(
    first: Sequence[str], first_sizes: Sequence[int], second: Sequence[str], second_sizes: Sequence[int]
) -> Matched:
    """Pair units by id, in the first model's order; sizes are the examples answered in each unit. Raises ValueError for
    an id given twice.
    """
    here, there = ({unit: place for place, unit in enumerate(units)} for units in (first, second))
    if len(here) < len(first) or len(there) < len(second):
        raise ValueError("a unit id is given twice")
    shared = [(place, there[unit]) for unit, place in here.items() if unit in there]
    both = [(mine, theirs) for mine, theirs in shared if first_sizes[mine] == second_sizes[theirs]]
    places = np.array(both, dtype=np.intp).reshape(len(both), 2)
    return Matched(
        places[:, 0], places[:, 1], len(there) - len(shared), len(here) - len(shared), len(shared) - len(both)
    )
