"""Move a damaged store to a file beside it, without deleting it, and copy its intact rows into a new one."""

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

PRIMARY_CODE = 0xFF  # mask: the other bits of an SQLite error code are details
# codes for wrong content; SQLITE_ERROR is one, since our statements are right
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
WAIT = 10.0  # seconds for other processes that met the same damage to release the file
SAYS_DAMAGE = (sqlite3.DatabaseError, DamageError, UnicodeDecodeError)  # errors that damage may raise
BESIDE = ("-wal", "-journal", "-shm")
Stamp = tuple[int, int]  # a file's size and time of change (ns)


def is_damage(error: BaseException, path: Path) -> bool:
    """Return whether an error means that the content of a store is damaged, and not that its disk or locks fail."""
    if isinstance(error, DamageError):
        return True
    if isinstance(error, UnicodeDecodeError):  # of SQLite's message about a damaged schema
        return _was_store(path)
    whole = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    code = whole & PRIMARY_CODE
    if code == sqlite3.SQLITE_READONLY:
        return _was_store(path, head_is_damaged=True)
    content = code in DAMAGE or whole in (sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)
    return content and _was_store(path)


def _was_store(path: Path, head_is_damaged: bool = False) -> bool:
    """Return whether this file was a store once. With `head_is_damaged`, this is only so if its head states an unknown
    format, which SQLite reports as read-only.
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
    """Return the size of a file and the time of its last change; zeros if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def set_aside(path: Path, expected: Stamp) -> Path | None:
    """Copy a damaged store to a file beside it and empty it. No connection of this process may be open.

    Returns the copy's path; None if the store's stamp is not the `expected` one, because another process has changed
    it. The file is emptied in place, under the lock that every connection shares, so that no process goes on using a
    replaced file of the same name. Raises StoreError if other processes go on using it, and OSError.
    """
    with path.open("r+b") as file:
        _lock_alone(file, path)
        if stamp(path) != expected:
            return None
        aside = _free_name(path)
        _copy(file, aside)  # from the open file: closing another handle of it would release the lock
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


def damaged_copies(path: Path) -> tuple[Path, ...]:
    """Return the damaged files that were set aside beside a store."""
    files = path.parent.glob(f"{path.name}.damaged-*")
    return tuple(sorted(file for file in files if file.name.rpartition("-")[2].isdecimal()))


def carry_over(aside: Path, db: sqlite3.Connection) -> int:
    """Copy every readable, intact answer and proof of a damaged store into another one, and return the number of
    answers.
    """
    answers = 0
    if not aside.stat().st_size:  # SQLite would delete its log
        return answers
    for values in _readable(aside, ANSWERS, "model engine request"):
        answers += db.execute("INSERT OR IGNORE INTO answers VALUES (?,?,?,?,?)", values).rowcount
    for values in _readable(aside, PROOFS, "model engine"):
        db.execute("INSERT OR IGNORE INTO proofs VALUES (?,?,?,?)", (*values[:2], *values[3:]))
    for values in _readable(aside, USES, "model engine name task"):
        with suppress(sqlite3.Error):  # damaged uses matter to nothing
            db.execute("INSERT OR IGNORE INTO uses VALUES (?,?,?,?,?,?)", values)
    Path(f"{aside}-shm").unlink(missing_ok=True)
    return answers


def _readable(aside: Path, query: str, keys: str) -> Iterator[tuple[object, ...]]:
    """Yield rows from the front up to the first unreadable page, then from the back; some may come twice.

    Rows that have a digest are left out if it does not fit.
    """
    with_digest = "digest" in query
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys.split())
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{aside.as_uri()}?mode=ro", uri=True)) as db:
            db.text_factory = decode_lossless
            for values in db.execute(f"{query} ORDER BY {order}"):
                if not with_digest or intact(values):
                    yield values
            return


def decode_lossless(text: bytes) -> str:
    """Decode a text of SQLite's without loss, even bytes that are not UTF-8."""
    return text.decode("utf-8", "surrogateescape")
