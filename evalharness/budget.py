"""Limit the work of templates and patterns from task files: counted units of work, and CPU time.

Units are counted, so that every machine refuses the same templates. The time limit ends what cannot be counted, such as
a regular expression that backtracks. It is the CPU time of the process: a busy machine refuses nothing. It needs a
POSIX timer and the main thread; elsewhere the time is only checked between units of work.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECONDS = 2.0  # for one rendering, or the filters of one answer
AGAIN = 0.05  # seconds until TooMuch is raised again, where a pattern or template caught it
LONGEST = 4_000_000  # units of one value: characters, and ITEM for each value inside a list or mapping
MOST = 40_000_000  # units of one rendering
STEP = 100  # units of every call, operation, step of a loop and piece of output
ITEM = 16
MOST_DIGITS = 4_000  # of a whole number
CONTAINERS: tuple[type[Collection[Any]], ...] = (
    list,
    tuple,
    set,
    frozenset,
    dict,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


class TooMuch(Exception):
    """The error that one rendering or filter would take more work than it may."""


class Account:
    """The budget of one rendering: the units of work that it may still use."""

    def __init__(self) -> None:
        self._left = MOST
        self._ends = time.thread_time() + SECONDS
        self._steps = 0

    def spend(self, units: int) -> None:
        """Take units off the account. Raises TooMuch if none are left."""
        self._left -= units + STEP
        self._steps += 1
        if self._left < 0:
            raise TooMuch("it takes too many steps, or makes too much text")
        if self._steps % 1024 == 0 and time.thread_time() > self._ends:
            raise TooMuch(f"it takes more than {SECONDS:g} s")

    def spend_value(self, value: Any) -> None:
        """Take the size of a new value off the account. Raises TooMuch, also if this one value is too large."""
        units = size(value)
        check_size(units)
        self.spend(units)


def check_size(units: int) -> None:
    """Raise TooMuch if a value of so many units must not be made."""
    if units > LONGEST:
        raise TooMuch(f"a value is longer than {LONGEST} characters")


def size(value: Any) -> int:
    """Return the units of a value and of everything inside it. Counting stops a little over LONGEST."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, int):
        return digits(value)
    units, pending = 1, [value]
    while pending and units <= LONGEST:
        item = pending.pop()
        if isinstance(item, CONTAINERS):
            units += ITEM * len(item)
            pending += item
            if isinstance(item, dict):
                pending += item.values()
        elif isinstance(item, (str, bytes, bytearray)):
            units += len(item)
    return units


def digits(number: int) -> int:
    """Return the approximate number of digits of a whole number. Raises TooMuch above MOST_DIGITS."""
    count = number.bit_length() * 3 // 10
    if count > MOST_DIGITS:
        raise TooMuch(f"a number has more than {MOST_DIGITS} digits")
    return count


class _Timer:
    """The state of the timer, for the signal's handler. `running`: a time limit is in force."""

    running = False


def _end(number: int, frame: FrameType | None) -> None:
    if _Timer.running:
        raise TooMuch(f"it takes more than {SECONDS:g} s")


def _stop() -> None:
    _Timer.running = False
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TooMuch inside the block after SECONDS of CPU time, also within a regular expression. A nested block has no
    limit of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or _Timer.running or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _end)
    try:
        _Timer.running = True
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, AGAIN)
        yield
    finally:
        try:
            _stop()
        finally:  # the signal may have interrupted the first call
            _stop()
            signal.signal(signal.SIGVTALRM, before)
