"""Set a damaged store aside, never deleting it, and carry over the rows of it that are intact."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from evalharness.errors import StoreError
from evalharness.store.rows import intact
from evalharness.store.schema import ANSWERS, MARK, PROOFS, USES, DamageError

PRIMARY_CODE = 0xFF  # the rest of an SQLite error code says where in the library it came up
# what SQLite finds wrong with content: no statement of ours is wrong in itself
DAMAGE = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}
MARKS = (b"PRIMARY KEY (model, engine", b'"request_id": "')  # of our schema, of the answers
SHARED_LOCK = (510, 0x40000002)  # length and start of the bytes that every SQLite connection in use holds locked
WAIT = 10.0  # seconds, for others who found the same damage and let go
SAYS_DAMAGE = (sqlite3.DatabaseError, DamageError, UnicodeDecodeError)  # what damage is raised as
BESIDE = ("-wal", "-journal", "-shm")
Stamp = tuple[int, int]  # a file's size, and when it was changed (ns)


def is_damage(error: BaseException, path: Path) -> bool:
    """Whether an error says that the content of a file of ours is damaged, not that its surroundings fail."""
    if isinstance(error, DamageError):
        return True
    if isinstance(error, UnicodeDecodeError):  # Python cannot read what SQLite says of a damaged schema
        return _ours(path)
    whole = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    code = whole & PRIMARY_CODE
    if code == sqlite3.SQLITE_READONLY:
        return _ours(path, head_is_damaged=True)
    content = code in DAMAGE or whole in (sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)
    return content and _ours(path)


def _ours(path: Path, head_is_damaged: bool = False) -> bool:
    """Recognise what was a store once. With `head_is_damaged`, only where its head states an unknown format, for which
    SQLite takes a file as read-only.
    """
    try:
        with path.open("rb") as file:
            content = file.read(1 << 20)
    except OSError:
        return False
    if head_is_damaged and set(content[18:20]) <= {1, 2}:
        return False
    marked = content[68:70] == MARK.to_bytes(4)[:2] or any(mark in content for mark in MARKS)
    return b"\0" in content[:4096] and marked


def stamp(path: Path) -> Stamp:
    """What changes when a file is written. Zeros where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def set_aside(path: Path, seen: Stamp) -> Path | None:
    """Copy a damaged store to a file beside it and empty it; no connection of this process may be open. None where it
    is not as it was `seen`: another process was at work.

    The file is emptied in place, under the lock that every connection shares, so that nobody goes on with another
    file of the same name. Raises StoreError where other processes go on using it; OSError.
    """
    with path.open("r+b") as file:
        _lock_alone(file, path)
        if stamp(path) != seen:
            return None
        aside = _free_name(path)
        _copy(file, aside)  # never opened again: to close the file anywhere would give the lock back
        for ending in BESIDE[:2]:
            with suppress(FileNotFoundError), Path(f"{path}{ending}").open("rb") as beside:
                _copy(beside, Path(f"{aside}{ending}"))
        for ending in BESIDE:
            Path(f"{path}{ending}").unlink(missing_ok=True)
        file.truncate(0)
    return aside


def _copy(source: BinaryIO, to: Path) -> None:
    with to.open("wb") as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _lock_alone(file: BinaryIO, path: Path) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *SHARED_LOCK)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                fix = "give the command again when the other has ended, or name another store with --store"
                raise StoreError(path, "it is damaged, and another process is using it", fix) from error
        time.sleep(0.05)


def _free_name(path: Path) -> Path:
    names = (f"{path.name}.damaged-{number}" for number in range(1, 10_000))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def set_aside_before(path: Path) -> tuple[Path, ...]:
    """Files beside a store that were set aside."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return tuple(sorted(file for file in found if file.name.rpartition("-")[2].isdecimal()))


def carry_over(aside: Path, db: sqlite3.Connection) -> int:
    """Copy into another store every intact answer and proof that can be read of a damaged one; return how many answers
    these are.
    """
    answers = 0
    if not aside.stat().st_size:  # SQLite would delete its log
        return answers
    for values in _readable(aside, ANSWERS, "model engine request"):
        answers += db.execute("INSERT OR IGNORE INTO answers VALUES (?,?,?,?,?)", values).rowcount
    for values in _readable(aside, PROOFS, "model engine"):
        db.execute("INSERT OR IGNORE INTO proofs VALUES (?,?,?,?)", (*values[:2], *values[3:]))
    for values in _readable(aside, USES, "model engine name task"):
        with suppress(sqlite3.Error):  # a text that is a number now: nothing hangs on it
            db.execute("INSERT OR IGNORE INTO uses VALUES (?,?,?,?,?,?)", values)
    Path(f"{aside}-shm").unlink(missing_ok=True)
    return answers


def _readable(aside: Path, query: str, keys: str) -> Iterator[tuple[object, ...]]:
    """Read rows from the front up to the first page that cannot be read, then from the back. Those that end with a
    digest come only where it fits; some may come twice.
    """
    with_digest = "digest" in query
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys.split())
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)) as db:
            db.text_factory = lossless
            for values in db.execute(f"{query} ORDER BY {order}"):
                if not with_digest or intact(values):
                    yield values
            return


def lossless(text: bytes) -> str:
    """Text as SQLite has it, whatever its bytes are."""
    return text.decode("utf-8", "surrogateescape")
