"""Put rows with the same word together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def by_word(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each word, with how often it stands there."""
    count: dict[str, int] = {}
    for row in rows:
        count[row["word"]] = count.get(row["word"], 0) + 1
    return [{"word": word, "times": times} for word, times in count.items()]
