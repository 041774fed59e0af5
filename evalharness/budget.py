"""Bound what other people's templates and patterns may take: units of work for what is computed, CPU time for the rest.

Units are counted, so that a template is refused alike on every machine; the time ends what cannot be counted, such as a
regular expression that backtracks. It is the CPU time of the process, so a machine that is busy or sleeps refuses
nothing. It needs a POSIX timer and the main thread; elsewhere it is looked at with every unit of work only.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECONDS = 2.0  # of one rendering, or of the filters of one answer
AGAIN = 0.05  # seconds until an end that something caught is raised again
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
    """Work that other people's text asks for, and that is beyond what one rendering or filter may take."""


class Account:
    """The units that one rendering has left."""

    def __init__(self) -> None:
        self._left = MOST
        self._ends = time.thread_time() + SECONDS
        self._steps = 0

    def spend(self, units: int) -> None:
        """Raises TooMuch where nothing is left."""
        self._left -= units + STEP
        self._steps += 1
        if self._left < 0:
            raise TooMuch("it takes too many steps, or makes too much text")
        if self._steps % 1024 == 0 and time.thread_time() > self._ends:
            raise TooMuch(f"it takes more than {SECONDS:g} s")

    def spend_value(self, value: Any) -> None:
        """Pay for a value that was made. Raises TooMuch, also for one value that is too large."""
        units = size(value)
        check_size(units)
        self.spend(units)


def check_size(units: int) -> None:
    """Refuse to make a value of so many units. Raises TooMuch."""
    if units > LONGEST:
        raise TooMuch(f"a value is longer than {LONGEST} characters")


def size(value: Any) -> int:
    """Units of a value with all that is inside it, what stands twice counted twice; at most a little over LONGEST."""
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
    """About how many digits a whole number has. Raises TooMuch where these are more than a number may have."""
    count = number.bit_length() * 3 // 10
    if count > MOST_DIGITS:
        raise TooMuch(f"a number has more than {MOST_DIGITS} digits")
    return count


class _Timer:
    """Whether the timer runs, as its signal's handler sees it."""

    running = False


def _end(number: int, frame: FrameType | None) -> None:
    if _Timer.running:
        raise TooMuch(f"it takes more than {SECONDS:g} s")


def _stop() -> None:
    _Timer.running = False
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@contextmanager
def time_limit() -> Iterator[None]:
    """End what is done inside after SECONDS of CPU time, also a regular expression: it raises TooMuch there. Inside
    another one nothing changes.
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
        finally:  # where the signal came on the way here
            _stop()
            signal.signal(signal.SIGVTALRM, before)
