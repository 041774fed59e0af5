"""Make stdout and stderr accept every text, and survive a closed pipe or a full disk without changing the exit code."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

REPLACED = "evalharness.ascii"  # a handler of encoding errors
ASCII = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "…": "...",
        "·": ".",
        "×": "x",
        "→": "->",
        "←": "<-",
        "≤": "<=",
        "≥": ">=",
        "±": "+-",
        "Δ": "delta",
        "δ": "delta",
        "α": "alpha",
        "“": '"',
        "”": '"',
        "’": "'",
        "●": "o",
        "▼": "v",
        "∣": "|",
    }
)


class Descriptor(io.RawIOBase):
    """A stream that writes to a file descriptor. If its reader is gone or the disk is full, it drops the output, and
    `lost` holds the error.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        if self.lost is None:
            try:
                return os.write(self._descriptor, data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


def take_every_text() -> list[Descriptor]:
    """Set up stdout and stderr, unless something captures them; return the descriptors that can lose output."""
    codecs.register_error(REPLACED, _replaced)
    descriptors = []
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # closed or captured
        if stream.isatty():
            stream.reconfigure(errors=REPLACED)
            continue
        stream.flush()
        descriptors.append(Descriptor(stream.fileno()))
        buffer = io.BufferedWriter(descriptors[-1])
        setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, REPLACED, line_buffering=stream.line_buffering))
    return descriptors


def output_lost(descriptors: list[Descriptor]) -> OSError | None:
    """Flush both streams, and return why output was lost; None if none was, or if the reader had closed the pipe."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    lost = (descriptor.lost for descriptor in descriptors)
    return next((error for error in lost if error is not None and error.errno != errno.EPIPE), None)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks: our own signs by similar ASCII, others by `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return "".join(character if character.isascii() else "?" for character in text), error.end
