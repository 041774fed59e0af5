"""Lock a folder for one writer at a time. The lock is on a file in the folder and ends with its process."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.errors import StoreError, UsageError

LOCK = ".evalharness.lock"
HOLDER = re.compile(r"process \d{1,20}, begun [-:\d ]{1,40} UTC")
UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # file systems without locks
WRITABLE = "name a folder that can be written"
PATIENCE = 10.0  # seconds that a short command waits for another one
_LOCKS: set[int] = set()  # descriptors of this process


@contextmanager
def hold_folder(
    folder: Path, where: str, name: Path | None = None, patience: float = 0.0, new: bool = False
) -> Iterator[None]:
    """Lock `folder` inside the block, and make it if it is missing. A folder that was made here, or is `new`, is
    removed at the end if it is empty.

    `where`, `name`: the option and the folder in error messages. `patience`: seconds to wait for another writer. Raises
    UsageError if another writer, in this process or not, holds it; StoreError if it cannot be made or locked.
    """
    new, name, deadline = new or not folder.exists(), name or folder, time.monotonic() + patience
    while True:
        try:
            lock = _lock_folder(folder)
            break
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            what = f"another run ({_holder(folder)}) writes to {name}"
            raise UsageError(where, what, "give another folder, or wait until it has ended") from None
        except OSError as error:
            if error.errno in UNSUPPORTED:
                what = f"files cannot be locked here ({error.strerror})"
                raise StoreError(name, what, f"name a folder on another file system with {where}") from error
            raise StoreError(name, f"cannot write here ({error.strerror})", f"{WRITABLE} with {where}") from error
    _LOCKS.add(lock)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        _LOCKS.discard(lock)
        os.close(lock)


@contextmanager
def make_folder(folder: Path) -> Iterator[Path]:
    """Make and lock a new folder, `folder` or the same with -2, -3 … after its name, and yield its path. Raises
    StoreError.
    """
    number, path = 1, folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
                path = folder.with_name(f"{folder.name}-{number}")
    except OSError as error:
        raise StoreError(path, f"cannot write here ({error.strerror})", f"{WRITABLE} with --out") from error
    with hold_folder(path, "--out", new=True):
        yield path


def _lock_folder(folder: Path) -> int:
    """Open the folder's lock file and lock it until it is closed. Raises BlockingIOError if another writer holds it."""
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # another writer has just removed the folder
                if not stat.S_ISDIR(folder.stat().st_mode):
                    raise
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            if not folder.parent.is_dir():
                raise
            continue
        try:
            _lock_file(lock)
            if os.path.samestat(os.fstat(lock), os.stat(folder / LOCK)):
                begun = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
                os.truncate(lock, 0)
                os.write(lock, f"process {os.getpid()}, begun {begun} UTC\n".encode())
                return lock
        except FileNotFoundError:  # another writer has just finished and removed it
            pass
        except OSError:
            os.close(lock)
            raise
        os.close(lock)


def _holder(folder: Path) -> str:
    """Return the process that holds the folder, as text; a general text if that cannot be read."""
    try:
        with (folder / LOCK).open(encoding="ascii", errors="replace") as file:
            holder = HOLDER.match(file.readline(200))
    except OSError:
        holder = None
    return holder[0] if holder else "of another process"


if sys.platform == "win32":
    import msvcrt

    def _lock_file(lock: int) -> None:
        os.lseek(lock, 1 << 30, os.SEEK_SET)  # behind the text, which others must be able to read
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        os.lseek(lock, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock_file(lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _close_locks() -> None:
        """Close the parent's locks in a forked child, which could outlive the parent and keep them."""
        for lock in _LOCKS:
            os.close(lock)
        _LOCKS.clear()

    os.register_at_fork(after_in_child=_close_locks)
