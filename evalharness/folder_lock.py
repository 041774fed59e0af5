"""Hold a folder for one writer at a time, by a lock on a file in it that ends with its process, however that ends."""

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
PATIENCE = 10.0  # seconds that a command of a moment waits for another one
_HELD: set[int] = set()  # descriptors of this process


@contextmanager
def held(
    folder: Path, where: str, shown: Path | None = None, patience: float = 0.0, new: bool = False
) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing; where it is `new`, it is taken away again if it stays empty.

    `where`, `shown`: the option and the folder as an error names them; `patience`: seconds to wait for another writer.
    Raises UsageError where another one, in this process or not, holds it, StoreError where it cannot be made or locked.
    """
    new, shown, deadline = new or not folder.exists(), shown or folder, time.monotonic() + patience
    while True:
        try:
            lock = _locked(folder)
            break
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            what = f"another run ({_holder(folder)}) writes to {shown}"
            raise UsageError(where, what, "give another folder, or wait until it has ended") from None
        except OSError as error:
            if error.errno in UNSUPPORTED:
                what = f"files cannot be locked here ({error.strerror})"
                raise StoreError(shown, what, f"name a folder on another file system with {where}") from error
            raise StoreError(shown, f"cannot write here ({error.strerror})", f"{WRITABLE} with {where}") from error
    _HELD.add(lock)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        _HELD.discard(lock)
        os.close(lock)


@contextmanager
def made_new(folder: Path) -> Iterator[Path]:
    """Make and hold a folder that was not there before: `folder`, or the same with -2, -3 … behind its name; give its
    path. Raises StoreError.
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
    with held(path, "--out", new=True):
        yield path


def _locked(folder: Path) -> int:
    """Open the folder's lock file and lock it until it is closed. Raises BlockingIOError where another one has it."""
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # its holder has just removed the folder
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
        except FileNotFoundError:  # its holder has just finished and removed it
            pass
        except OSError:
            os.close(lock)
            raise
        os.close(lock)


def _holder(folder: Path) -> str:
    """Say who holds the folder, as far as that can be read."""
    try:
        with (folder / LOCK).open(encoding="ascii", errors="replace") as file:
            said = HOLDER.match(file.readline(200))
    except OSError:
        said = None
    return said[0] if said else "of another process"


if sys.platform == "win32":
    import msvcrt

    def _lock_file(lock: int) -> None:
        os.lseek(lock, 1 << 30, os.SEEK_SET)  # behind what is written there, which others read
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
        os.lseek(lock, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock_file(lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go() -> None:
        """Close the parent's locks in a forked child, which would hold them longer than the parent lives."""
        for lock in _HELD:
            os.close(lock)
        _HELD.clear()

    os.register_at_fork(after_in_child=_let_go)
