"""Cache digests and other results of reading files from one run to the next. The cache may be deleted at any time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness import fingerprint

State = tuple[int, ...]
MOST = 10_000  # entries, the newest
# nanoseconds without a write after which a file's state identifies its content from run to run. In this time dirty
# pages are written back, so that later writes through a mapping change the state; and it exceeds clock differences.
AT_REST = 60_000_000_000
MOUNTS = Path("/proc/self/mountinfo")
LOCAL = set("ext2 ext3 ext4 xfs btrfs zfs f2fs jfs bcachefs overlay tmpfs ramfs".split())  # file systems of one machine
_open: list[Memory] = []


class Memory:
    """A SQLite file that stores JSON values by JSON keys.

    If the file cannot be used, nothing is remembered. A damaged file is removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: sqlite3.Connection | None = None
        with self._forgiven():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            file.execute("PRAGMA synchronous=OFF")  # damage by a power failure is detected
            file.execute("CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, value TEXT, digest TEXT)")
            self._file = file

    def recall(self, key: Any) -> Any:
        """Return the value stored for a key; None if there is none, or only a damaged one."""
        with self._forgiven():
            if self._file is None:
                return None
            name = fingerprint.of_value(key)
            row = self._file.execute("SELECT value, digest FROM known WHERE key=?", (name,)).fetchone()
            if row is not None and row[1] == _digest(name, row[0]):
                return json.loads(row[0])
        return None

    def keep(self, key: Any, value: Any) -> None:
        """Store a value that is not None."""
        with self._forgiven():
            if self._file is not None:
                name, text = fingerprint.of_value(key), json.dumps(value)
                row = (name, text, _digest(name, text))
                self._file.execute("INSERT OR REPLACE INTO known VALUES (?,?,?)", row)

    def close(self) -> None:
        with self._forgiven():
            if self._file is not None:
                self._file.execute("DELETE FROM known WHERE rowid <= (SELECT max(rowid) FROM known) - ?", (MOST,))
        self._end()

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:
            self._end()
            if type(error) is sqlite3.DatabaseError:  # malformed, not busy
                with contextlib.suppress(OSError):
                    self._path.unlink()


def _digest(name: str, text: object) -> str:
    return hashlib.sha256(f"{name} {text}".encode()).hexdigest()


@contextlib.contextmanager
def remember_in(path: Path) -> Iterator[None]:
    """Use this file as the memory while the block runs. Inside another such block, the other block's file is used."""
    if _open:
        yield
        return
    memory = Memory(path)
    _open.append(memory)
    try:
        yield
    finally:
        _open.remove(memory)
        memory.close()


def memory_path(store: Path) -> Path:
    """Return the memory file beside the store of a run's answers."""
    return store.with_name(f"{store.name}.checked")


def current() -> Memory | None:
    """Return the memory in use; None outside `remember_in`."""
    return _open[-1] if _open else None


def may_stand(path: Path, state: State) -> bool:
    """Return whether the state of a file (device, inode, size, times), taken before it was read, identifies its
    content in later runs. It does if the file is at rest, on a file system of this machine.
    """
    return time.time_ns() - max(state[-2:]) > AT_REST and _is_local(path)


def _is_local(path: Path) -> bool:
    mounts, parents = _mounts(), (path, *path.parents)
    if not mounts:
        return True  # the system lists none (macOS)
    return next((mounts[str(place)] for place in parents if str(place) in mounts), "") in LOCAL


@functools.cache
def _mounts() -> dict[str, str]:
    """Return the types of file systems by the folders on which they are mounted."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    parts = [(line.split(" - ")[0].split(), line.split(" - ")[1].split()) for line in lines if " - " in line]
    return {mount[4]: kind[0] for mount, kind in parts}
