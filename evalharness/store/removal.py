"""Remove the answers of models from a store by name, age or size, and shrink its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evalharness.errors import UsageError, did_you_mean
from evalharness.store.contents import SourceFacts
from evalharness.store.database import Database, Notify

SHORTEST = 6  # digits of a fingerprint that name a model
DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRule:
    """Which answers to remove from a store.

    They are those of these models (names, or beginnings of fingerprints) that were not used for so many days. With
    `most_bytes`, only the longest unused of these are removed, until the rest fits.
    """

    models: tuple[str, ...] = ()
    older_than_days: float | None = None
    most_bytes: int | None = None


def matching_sources(sources: Sequence[SourceFacts], rule: RemovalRule, now: float) -> tuple[SourceFacts, ...]:
    """Return the sources that a rule matches, the longest unused first.

    A source is one model by one engine. `now` is in seconds since 1970. Raises UsageError for a model that is not
    there, and for an empty rule.
    """
    if rule == RemovalRule():
        fix = "give --model, --older-than or --max-size"
        raise UsageError("store gc", "no rule says what to delete", fix)
    for text in rule.models:
        if not any(_is(source, text) for source in sources):
            names = {name for source in sources for name in (source.model[:12], *source.names)}
            raise UsageError("--model", f"no answers of a model {text!r}", did_you_mean(text, names))
    old = now - (rule.older_than_days or 0) * DAY
    matches = [
        source
        for source in sorted(sources, key=lambda source: (source.last, source.model, source.engine))
        if (not rule.models or any(_is(source, text) for text in rule.models))
        and (rule.older_than_days is None or source.last <= old)
    ]
    if rule.most_bytes is None:
        return tuple(matches)
    size, excess = sum(source.bytes for source in sources), []
    for source in matches:
        if size > rule.most_bytes:
            excess.append(source)
            size -= source.bytes
    return tuple(excess)


def remove(path: Path, sources: Sequence[SourceFacts], notify: Notify) -> None:
    """Delete all rows of these sources, and shrink the file. Raises StoreError."""

    def change(db: sqlite3.Connection) -> None:
        for table in ("answers", "proofs", "uses", "quarantine"):
            keys = [(source.model, source.engine) for source in sources]
            db.executemany(f"DELETE FROM {table} WHERE model=? AND engine=?", keys)

    with closing(Database(path, notify)) as database:
        database.write(change)
        database.shrink()


def _is(source: SourceFacts, text: str) -> bool:
    return text in source.names or (len(text) >= SHORTEST and source.model.startswith(text))
