"""Create a store's tables, and tell a store's version from the tables of other programs.

The version is written twice, as `user_version` and in the lower half of `application_id`, so that a damaged number is
not taken for another version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

VERSION = 2
ANSWERS = "SELECT model, engine, request, body, digest FROM answers"
PROOFS = "SELECT model, engine, 'proof', body, digest FROM proofs"
USES = "SELECT model, engine, name, task, first, last FROM uses"
MARK = 0x4548 << 16  # upper half of application_id
TABLES = (
    """CREATE TABLE answers (
    model TEXT NOT NULL, engine TEXT NOT NULL, request TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (model, engine, request)
) WITHOUT ROWID""",
    """CREATE TABLE proofs (
    model TEXT NOT NULL, engine TEXT NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (model, engine)
) WITHOUT ROWID""",
    # when answers of a model were first and last written or read, with its names and tasks in runs
    """CREATE TABLE uses (
    model TEXT NOT NULL, engine TEXT NOT NULL, name TEXT NOT NULL, task TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (model, engine, name, task)
) WITHOUT ROWID""",
    # rows that do not fit their digest, unchanged
    "CREATE TABLE quarantine (model, engine, request, body, digest)",
)


class DamageError(Exception):
    """Raised for a damaged store; the text says how it is damaged."""


class ForeignError(Exception):
    """Raised for a file that is no store; the text says what it is."""


def version_of(db: sqlite3.Connection) -> int:
    """Return the version of the store in an open file, 0 if the file is empty. Nothing is changed.

    Raises ForeignError for another program's tables, DamageError for contradicting marks, and SQLite's errors.
    """
    with _snapshot(db):  # else the head before and after another process makes the tables would be read as one
        (mark,), (version,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
        columns = _columns(db)
    if not tables and not mark and not version:
        return 0
    ours = {"answers", "proofs"} <= tables and columns == ["model", "engine", "request", "body", "digest"]
    whole = ours and {"uses", "quarantine"} <= tables
    if mark == MARK + version and (version > VERSION or (version == VERSION and whole)):
        return int(version)
    if ours or mark >> 16 == MARK >> 16:
        raise DamageError("its head contradicts itself")
    names = ", ".join(sorted(tables)[:3])
    raise ForeignError(f"a database of another program{f', with tables {names}' if names else ''}")


@contextmanager
def _snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Make all reads within see the same state of the file."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:  # an error may have ended it
            db.execute("ROLLBACK")


def create(db: sqlite3.Connection) -> None:
    """Make an empty file a store, within the caller's transaction."""
    for statement in TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA user_version={VERSION}")
    db.execute(f"PRAGMA application_id={MARK + VERSION}")


def _columns(db: sqlite3.Connection) -> list[str]:
    return [row[1] for row in db.execute("PRAGMA table_info(answers)")]
