"""Stop a command at its next step after SIGINT or SIGTERM, also if a library has swallowed the exception."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


@contextmanager
def signals_caught() -> Iterator[None]:
    """Let the first signal raise KeyboardInterrupt, and record it for `stop_if_interrupted`; the second ends the
    process at once. Main thread only.
    """
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal came. The first exception may have been lost in a destructor or a library's
    callback.
    """
    if _received:
        raise KeyboardInterrupt


def exit_code() -> int:
    """Return 128 + the signal that came: 130 for SIGINT, and if no signal came; 143 for SIGTERM."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def _interrupt(number: int, _: FrameType | None) -> None:
    if _received:
        os._exit(128 + number)
    _received.append(number)
    raise KeyboardInterrupt
