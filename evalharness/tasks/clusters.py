"""Cluster rows that repeat a question, so that the statistics count them as one unit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


def clusters(links: Sequence[Iterable[Hashable]]) -> list[int]:
    """Find the connected components of rows that share a link (a unit key, or the digest of the question).

    Returns for each row the place of the first row of its component, (rows,).
    """
    parents = list(range(len(links)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[Hashable, int] = {}
    for place, of_row in enumerate(links):
        for link in of_row:
            one, other = sorted((root(place), root(first.setdefault(link, place))))
            parents[other] = one
    return [root(place) for place in range(len(links))]
