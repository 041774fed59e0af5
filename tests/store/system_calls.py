"""Have a system call of SQLite's fail as a broken disk or a file system without locks would make it.

SQLite's own tests do it in this way: its Unix layer looks every system call up in a table that can be changed
(xSetSystemCall of https://sqlite.org/c3ref/vfs.html).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager

CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, use_errno=True)
SET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Vfs(ctypes.Structure):
    """The head of sqlite3_vfs, version 3."""

    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in "pNext zName pAppData xOpen xDelete xAccess xFullPathname".split()),
        *((name, ctypes.c_void_p) for name in "xDlOpen xDlError xDlSym xDlClose xRandomness xSleep".split()),
        *((name, ctypes.c_void_p) for name in "xCurrentTime xGetLastError xCurrentTimeInt64".split()),
        ("xSetSystemCall", SET),
    ]


def library() -> ctypes.CDLL | None:
    """The SQLite that Python uses, where it is a shared library."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "libsqlite3" in line}
    return ctypes.CDLL(paths.pop()) if paths else None


@contextmanager
def failing(errno: int, *calls: bytes) -> Iterator[None]:
    """Every such call of SQLite's (`fcntl`, `pwrite` …) fails with this number."""
    sqlite = library()
    assert sqlite is not None
    sqlite.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
    vfs = sqlite.sqlite3_vfs_find(None)

    @CALL
    def fail(*_: object) -> int:
        ctypes.set_errno(errno)
        return -1

    def replace(by: object) -> None:
        for call in calls:
            assert vfs.contents.xSetSystemCall(ctypes.addressof(vfs.contents), call, by) == 0

    replace(ctypes.cast(fail, ctypes.c_void_p))
    try:
        yield
    finally:
        replace(None)
