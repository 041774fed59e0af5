"""Delay a request to stop (Ctrl-C, SIGTERM) until the current step is computed and saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from evalharness.interruption import SIGNALS, stop_if_interrupted


class HeldSignal:
    """A signal that is delayed. `number`: the signal's, None if none came."""

    number: int | None = None

    def deliver(self, note: str = "") -> None:
        """Raise the signal again, if there was one; `note` is added to an interrupt."""
        if self.number is None:
            return
        try:
            signal.raise_signal(self.number)
        except KeyboardInterrupt as interrupt:
            if note:
                interrupt.add_note(note)
            raise


@contextmanager
def held_back() -> Iterator[HeldSignal]:
    """Delay the first signal until the block asks for it; a second signal acts at once.

    A signal that came before and was ignored ends the training at the beginning of the block. Outside the main thread
    nothing is delayed, because signals do not reach other threads.
    """
    stop_if_interrupted()
    delayed = HeldSignal()
    if threading.current_thread() is not threading.main_thread():
        yield delayed
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def hold(number: int, _: FrameType | None) -> None:
        delayed.number = number
        restore()

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, hold)
    try:
        yield delayed
    finally:
        restore()
