"""Plan how token sequences that share prefixes are read: common headers once, their branches in bounded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from evalharness.engines.hf.rows import Tokens

LEAST_HEADER = 16  # tokens that a header must save each of its rows to be worth a pass of its own
Text = TypeVar("Text", tuple[int, ...], str)
STEP = 8  # header lengths are multiples of it, so that a chance common first word makes no other header


@dataclass(frozen=True, slots=True)
class Branch:
    """One token sequence, `fed`. Its positions from `first` on are scored."""

    fed: Tokens
    first: int


@dataclass(slots=True)
class HeaderGroup:
    """Branches with the same `header` (their common beginning), whose keys and values are computed once.

    `above`: how many tokens of the header the parent group has read; the others are read in a pass of their own.
    `ranges`: the group's branches, as ranges of places in the sorted list. `rows`: the places of the branches that each
    pass reads.
    """

    header: Tokens
    above: int
    ranges: list[range] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)


def prefix_length(one: Text, other: Text) -> int:
    """Return the length of the longest common prefix of two token sequences, or of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # `one` and `other` agree up to `low`; slices are compared in C
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def groups(branches: Sequence[Branch], budget: int) -> list[HeaderGroup]:
    """Group `branches`, which are sorted by `fed`; each branch is in one row of one group.

    A row reads at most `budget` tokens after its header, or one branch. A group's parent is the nearest group before it
    whose header is the first `above` tokens of its own.

    The trie is walked from its root: a subtree of at most `budget` tokens stays whole, a larger one is cut at its first
    fork, after a header if its branches share enough. No scored position is part of a header.
    """
    shared = [0, *(prefix_length(one.fed, other.fed) for one, other in pairwise(branches))]
    plan = [HeaderGroup(header=(), above=0)]
    waiting = [(range(len(branches)), plan[0])] if branches else []
    while waiting:
        some, group = waiting.pop()
        if len(some) == 1 or _size(branches, shared, some, len(group.header)) <= budget:
            group.ranges.append(some)
            continue
        fork = min(shared[i] for i in some[1:])
        header = min(fork, *(branches[i].first for i in some)) // STEP * STEP
        if header - len(group.header) >= LEAST_HEADER:
            group = HeaderGroup(header=branches[some[0]].fed[:header], above=len(group.header))
            plan.append(group)
        cuts = [some.start, *(i for i in some[1:] if shared[i] == fork), some.stop]
        waiting += [(range(start, stop), group) for start, stop in pairwise(cuts)][::-1]
    for group in plan:
        group.rows = _rows(branches, shared, group, budget)
    return [group for group in plan if group.rows or group.header]


def _size(branches: Sequence[Branch], shared: Sequence[int], some: range, depth: int) -> int:
    """Count the distinct tokens of neighbouring branches from `depth` on."""
    first = len(branches[some[0]].fed) - depth
    return first + sum(len(branches[i].fed) - max(shared[i], depth) for i in some[1:])


def _rows(branches: Sequence[Branch], shared: Sequence[int], group: HeaderGroup, budget: int) -> list[list[int]]:
    """Fill rows with the group's own branches, subtree after subtree while they fit; without a header, single branches
    come first, longest first, so that those of a row are of about the same length.
    """
    rows: list[list[int]] = []
    free = 0
    ranges = group.ranges if group.header else [part for some in group.ranges for part in _parts(some, shared)]
    sizes = {some: _size(branches, shared, some, len(group.header)) for some in ranges}
    if not group.header:
        ranges.sort(key=lambda some: (len(some) > 1, -sizes[some] if len(some) == 1 else 0))
    for some in ranges:
        size = sizes[some]
        if size > free or not rows:
            rows.append([])
            free = budget
        rows[-1] += some
        free -= size
    return rows


def _parts(some: range, shared: Sequence[int]) -> list[range]:
    """Cut a range where neighbours share fewer than LEAST_HEADER tokens."""
    cuts = [some.start, *(i for i in some[1:] if shared[i] < LEAST_HEADER), some.stop]
    return [range(start, stop) for start, stop in pairwise(cuts)]
