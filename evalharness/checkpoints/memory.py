"""Remember from one run to the next what reading files showed: digests, and what was concluded from content. All of it
can be found out again: the file may be deleted at any time.
"""

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
MOST = 10_000  # entries kept, the newest
# nanoseconds without a write after which a file's state stands for its content from run to run. In this time dirty
# pages are written back, so that a later write through a mapping shows, too; and it exceeds what clocks are apart.
AT_REST = 60_000_000_000
MOUNTS = Path("/proc/self/mountinfo")
LOCAL = set("ext2 ext3 ext4 xfs btrfs zfs f2fs jfs bcachefs overlay tmpfs ramfs".split())  # file systems of one machine
_open: list[Memory] = []


class Memory:
    """Values as JSON has them, by keys as JSON has them, in a SQLite file. Where it cannot be used nothing is
    remembered; one that is damaged is removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: sqlite3.Connection | None = None
        with self._forgiven():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            file.execute("PRAGMA synchronous=OFF")  # what power failures leave of it is checked, or removed
            file.execute("CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, value TEXT, digest TEXT)")
            self._file = file

    def recall(self, key: Any) -> Any:
        """The value, or None where none is kept, or not as it was written."""
        with self._forgiven():
            if self._file is None:
                return None
            name = fingerprint.of_value(key)
            row = self._file.execute("SELECT value, digest FROM known WHERE key=?", (name,)).fetchone()
            if row is not None and row[1] == _digest(name, row[0]):
                return json.loads(row[0])
        return None

    def keep(self, key: Any, value: Any) -> None:
        """Keep a value that is not None."""
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
            if type(error) is sqlite3.DatabaseError:  # no database, or a malformed one; not one that is busy
                with contextlib.suppress(OSError):
                    self._path.unlink()


def _digest(name: str, text: object) -> str:
    return hashlib.sha256(f"{name} {text}".encode()).hexdigest()


@contextlib.contextmanager
def kept_in(path: Path) -> Iterator[None]:
    """Remember in this file for as long as the block runs; in the file of a block around it where there is one."""
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


def beside(store: Path) -> Path:
    """The file in which a run remembers that keeps its answers in `store`."""
    return store.with_name(f"{store.name}.checked")


def current() -> Memory | None:
    """What remembers now, if anything does."""
    return _open[-1] if _open else None


def may_stand(path: Path, state: State) -> bool:
    """Whether the state (device, inode, size, times of content and of change) of a file, taken before it was read,
    stands for its content in later runs: it is at rest, on a file system of this machine.
    """
    return time.time_ns() - max(state[-2:]) > AT_REST and _is_local(path)


def _is_local(path: Path) -> bool:
    mounts, parents = _mounts(), (path, *path.parents)
    if not mounts:
        return True  # the system lists none, as macOS
    return next((mounts[str(place)] for place in parents if str(place) in mounts), "") in LOCAL


@functools.cache
def _mounts() -> dict[str, str]:
    """Type of the file system by the folder on which it is mounted."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    parts = [(line.split(" - ")[0].split(), line.split(" - ")[1].split()) for line in lines if " - " in line]
    return {mount[4]: kind[0] for mount, kind in parts}
