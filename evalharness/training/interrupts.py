"""Hold back a request to stop (Ctrl-C, SIGTERM) until the step that is being computed is done and saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from evalharness.interruption import SIGNALS, stop_if_interrupted


class HeldSignal:
    """The signal that is held back; `number` is None while there is none."""

    number: int | None = None

    def deliver(self, note: str = "") -> None:
        """Let the signal do what it would have done, if there was one; `note` goes with an interrupt."""
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
    """Hold the first signal back; a second one acts at once. One that came before and was swallowed ends the training
    here. Does nothing outside the main thread, which signals do not reach.
    """
    stop_if_interrupted()
    held = HeldSignal()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def hold(number: int, _: FrameType | None) -> None:
        held.number = number
        restore()

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, hold)
    try:
        yield held
    finally:
        restore()
