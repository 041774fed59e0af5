"""Write a file atomically: it is complete or absent after a crash, and with several writers."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

PREFIX = 40  # characters of the name in the temporary one, which may have 255 bytes


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically and make the folders above it. Of several writers the last one wins. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file in the same folder; it is flushed to disk and renamed to `path` at the end, and removed
    after an error. Raises OSError.
    """
    start = f".{path.name[:PREFIX]}."
    with _among_writers(path.parent, start):
        beside = path.with_name(f"{start}{secrets.token_hex(8)}.unfinished")
        try:
            with beside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise


if sys.platform == "win32":

    @contextmanager
    def _among_writers(folder: Path, start: str) -> Iterator[None]:
        yield

else:
    import fcntl

    @contextmanager
    def _among_writers(folder: Path, start: str) -> Iterator[None]:
        """Share a lock on the folder with its other writers. The only writer removes the files of killed ones."""
        lock = None
        with suppress(OSError):  # a folder that cannot be listed or locked: nothing is removed there
            lock = os.open(folder, os.O_RDONLY)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for unfinished in folder.glob(f"{escape(start)}*.unfinished"):
                    unfinished.unlink(missing_ok=True)
            fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)
