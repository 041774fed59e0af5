"""Open a store's SQLite file and run transactions in it; a damaged file is replaced by one with its intact rows."""

from __future__ import annotations

import fcntl
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from evalharness.errors import StoreError
from evalharness.store.damage import (
    PRIMARY_CODE,
    SAYS_DAMAGE,
    Stamp,
    carry_over,
    decode_lossless,
    is_damage,
    set_aside,
    stamp,
)
from evalharness.store.schema import VERSION, DamageError, ForeignError, create, version_of

BUSY_MS = 60_000  # another process may hold the write lock for one block's commit
ATTEMPTS = 4  # at a damaged file that other processes may be replacing, too
MOUNTS = Path("/proc/self/mounts")
NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "lustre", "beegfs", "ceph", "gpfs")
ELSEWHERE = "name another with --store"
LOCAL = "name a store on a local disk with --store"
FIXES = {  # by SQLite's primary code
    sqlite3.SQLITE_BUSY: "another process holds it: wait until that has ended, or name another with --store",
    sqlite3.SQLITE_FULL: "free some space and run again: earlier answers are kept",
    sqlite3.SQLITE_IOERR: "free some space, or name another with --store, and run again: earlier answers are kept",
    sqlite3.SQLITE_READONLY: "name one that can be written with --store",
    sqlite3.SQLITE_PROTOCOL: LOCAL,
}
LOCKING = (  # extended codes: the file system cannot lock, or cannot share memory
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    sqlite3.SQLITE_IOERR_SHMLOCK,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMMAP,
)
Notify = Callable[[str], None]
Result = TypeVar("Result")


class Database:
    """The SQLite file of one store, open for reading and writing. `notify` gets messages that need no action.

    Raises StoreError if the file cannot be opened, read or written, or is no store. Such a file does not change.
    """

    def __init__(self, path: Path, notify: Notify) -> None:
        self.path, self._notify = path, notify
        self._seen: Stamp = (0, 0)
        with errors_at(path, "cannot be used as the store"):
            self.path = resolve_file(path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_locks(self.path.parent)
            self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def read(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run an action that reads; if the file is damaged, replace it and run the action again on the new file.

        Texts may have surrogates for bytes that are not UTF-8.
        """
        return self._attempt(action, "cannot be read")

    def write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Make a change in one transaction."""

        def commit(db: sqlite3.Connection) -> None:
            with transaction(db):
                change(db)

        self._attempt(commit, "cannot be written")

    def shrink(self) -> None:
        """Return the space of deleted rows to the file system, unless other processes are using the file."""
        try:
            self._attempt(lambda db: db.execute("VACUUM"), "cannot be made smaller")
        except StoreError as error:
            self._notify(f"{error}")

    def _attempt(self, action: Callable[[sqlite3.Connection], Result], doing: str) -> Result:
        with errors_at(self.path, doing):
            for _ in range(ATTEMPTS - 1):
                try:
                    return action(self._db)
                except SAYS_DAMAGE as error:
                    if not is_damage(error, self.path):
                        raise
                    self._db.close()
                    self._replace(error)
                    self._db = self._open()
            return action(self._db)

    def _open(self) -> sqlite3.Connection:
        for _ in range(ATTEMPTS - 1):
            self._seen = stamp(self.path)
            lost_head = self._seen[0] == 0 and stamp(Path(f"{self.path}-wal"))[0] > 0
            db = connect(self.path)
            try:
                if lost_head:
                    raise DamageError("it is empty, and its log is not")
                self._prepare(db)
                return db
            except BaseException as error:
                db.close()
                if not is_damage(error, self.path):
                    raise
                self._replace(error)
        raise StoreError(self.path, "it is damaged, and changes while it is set aside", ELSEWHERE)

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = version_of(db)
        refuse_newer(self.path, version)
        journal = "WAL"
        if file_system := network_file_system(self.path):
            journal = "DELETE"
            self._notify(
                f"{self.path}: on {file_system}, where a log cannot be shared: written with a rollback journal"
            )
        _switch_journal(db, journal)
        db.execute("PRAGMA synchronous=FULL")  # a commit a block: a few ms, and a power cut loses nothing
        if version == 0:
            with transaction(db):
                if version_of(db) == 0:  # else another process has made the tables meanwhile
                    create(db)

    def _replace(self, damage: BaseException) -> None:
        """Set the file aside and copy its intact rows into a new one, unless another process has just done so."""
        aside = set_aside(self.path, self._seen)
        if aside is None:
            return
        with closing(connect(self.path)) as db:
            self._prepare(db)
            with transaction(db):
                count = carry_over(aside, db)
        rest = f"{count:,} answers of it were carried over, others are computed again"
        self._notify(f"{self.path}: was damaged ({damage}) and set aside as {aside.name}; {rest}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit the changes made in the block, or roll all of them back on an error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled back already
            db.execute("ROLLBACK")
        raise


def connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    """Open an SQLite file without reading it, in SQLite's `mode`."""
    db = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_MS / 1000, isolation_level=None)
    db.text_factory = decode_lossless
    return db


def resolve_file(path: Path) -> Path:
    """Return the absolute path of a store, with links followed.

    Raises StoreError if there is something else than a file, and OSError.
    """
    try:
        path = path.absolute().resolve()
    except RuntimeError as error:
        raise StoreError(path, "is a link in a circle", "name a file with --store") from error
    if path.exists() and not path.is_file():
        raise StoreError(path, f"is no file: {'a folder' if path.is_dir() else 'a device'}", "name a file with --store")
    return path


def check_locks(folder: Path) -> None:
    """Check that files can be made and locked in a folder. Raises StoreError, and OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(folder, f"its file system cannot lock files ({error.strerror})", LOCAL) from error


def network_file_system(path: Path) -> str:
    """Return the type of the file system if it is a network's, else "".

    SQLite's write-ahead log does not work on a network file system (https://sqlite.org/wal.html).
    """
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return ""
    below = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point.replace("\\040", " "))]
    kind = max(below, default=(0, ""))[1]
    return kind if kind.startswith(NETWORK) else ""


def check(path: Path) -> bool:
    """Check that a store can be used, and change nothing. Returns False if there is none yet.

    A damaged store passes, because it is set aside when it is used. Raises StoreError.
    """
    with errors_at(path, "cannot be used as the store"):
        path = resolve_file(path)
        if not path.exists():
            return False
        check_locks(path.parent)
        try:
            with closing(connect(path, "rw")) as db:
                refuse_newer(path, version := version_of(db))
                db.execute("BEGIN IMMEDIATE")
                db.execute(f"PRAGMA user_version={version}")  # a write, which fails for a read-only file
                db.execute("ROLLBACK")
        except SAYS_DAMAGE as error:
            if not is_damage(error, path):
                raise
    return True


def refuse_newer(path: Path, version: int) -> None:
    """Raise StoreError for a version that only a later evalharness reads."""
    if version > VERSION:
        raise StoreError(path, f"store of version {version}, this evalharness reads up to {VERSION}", ELSEWHERE)


@contextmanager
def errors_at(path: Path, doing: str) -> Iterator[None]:
    """Turn errors of SQLite and the system into a StoreError that says how to fix them."""
    try:
        yield
    except ForeignError as error:
        raise StoreError(path, f"{doing}: it is {error}", ELSEWHERE) from error
    except (sqlite3.Error, DamageError, UnicodeDecodeError, OSError) as error:
        whole = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        fix = LOCAL if whole in LOCKING else FIXES.get(whole & PRIMARY_CODE, ELSEWHERE)
        raise StoreError(path, f"{doing}: {error}", fix) from error


def _switch_journal(db: sqlite3.Connection, journal: str) -> None:
    """Set the journal mode, waiting for the lock: SQLite does not wait in this statement, and two processes may open a
    new store at once.
    """
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            db.execute(f"PRAGMA journal_mode={journal}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)
