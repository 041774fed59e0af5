"""Count the n-grams that two texts have in common, with clipped counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """Return all n-grams of `order` words, in order."""
    return [*zip(*(words[start:] for start in range(order)), strict=False)]


def matches(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the number of pieces of `first` with an equal one in `second`, each of which matches once."""
    here, there = set(first), set(second)
    both = here & there
    if len(here) == len(first) or len(there) == len(second):  # one of them has no repeated piece
        return len(both)
    often, needed = Counter(first), Counter(second)
    return sum(map(min, map(often.__getitem__, both), map(needed.__getitem__, both)))
