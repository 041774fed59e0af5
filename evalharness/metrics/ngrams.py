"""Count the n-grams that two texts have in common, with clipped counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """Return all n-grams of `order` words, in order."""
    return [*zip(*(words[start:] for start in range(order)), strict=False)]


def matches(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return how many pieces of `first` match an equal one of `second`, each of which matches at most once."""
    here, there = set(first), set(second)
    both = here & there
    if len(here) == len(first) or len(there) == len(second):  # one of them has no repeated piece
        return len(both)
    often, needed = Counter(first), Counter(second)
    return sum(map(min, map(often.__getitem__, both), map(needed.__getitem__, both)))
