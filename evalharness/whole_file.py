"""Write a file whole or not at all, wherever the process or the machine stops, and whoever else writes it."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

SHOWN = 40  # characters of the name: with what is put around them, a file system takes no more than 255 bytes


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, let the disk take it, and rename it into its place; make the folders above it.
    Of several writers the last one wins. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its place when all is written and is removed when that fails. Raises
    OSError.
    """
    start = f".{path.name[:SHOWN]}."
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
        """Share a lock on the folder with all who write into it. Who has it alone removes what killed ones left."""
        lock = None
        with suppress(OSError):  # of a folder that cannot be listed or locked: nothing is removed there
            lock = os.open(folder, os.O_RDONLY)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in folder.glob(f"{escape(start)}*.unfinished"):
                    left.unlink(missing_ok=True)
            fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)
