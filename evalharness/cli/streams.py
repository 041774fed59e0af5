"""Make stdout and stderr take every text, and neither a reader that has gone nor a full disk cost a command its exit
code.
"""

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
    """Write to a file descriptor. Where nobody reads it any more, or it is full, what is written is dropped, and
    `lost` says why.
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
    """Set up both standard streams, where they are a process's own; return those that can lose what is written."""
    codecs.register_error(REPLACED, _replaced)
    descriptors = []
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # closed, or somebody captures it
        if stream.isatty():
            stream.reconfigure(errors=REPLACED)
            continue
        stream.flush()
        descriptors.append(Descriptor(stream.fileno()))
        buffer = io.BufferedWriter(descriptors[-1])
        setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, REPLACED, line_buffering=stream.line_buffering))
    return descriptors


def output_lost(descriptors: list[Descriptor]) -> OSError | None:
    """Flush, and return why output is lost; None where none is, or only because its reader had read enough."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    lost = (descriptor.lost for descriptor in descriptors)
    return next((error for error in lost if error is not None and error.errno != errno.EPIPE), None)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in ASCII: signs of ours by their likeness, others as `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return "".join(character if character.isascii() else "?" for character in text), error.end
