"""Adapt the number of requests at once to a server: one more after each good round, half as many at an overload."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST = 8  # requests at once at the start


class Pace:
    """Bounds how many requests run at once, between 1 and `most`; threads share it."""

    def __init__(self, most: int) -> None:
        self._most, self._allowed = most, float(min(most, FIRST))
        self._running, self._slowed_at = 0, 0.0
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """Return the number of requests that may run now."""
        return int(self._allowed)

    @contextmanager
    def one_request(self) -> Iterator[float]:
        """Wait until one more request may be sent, and yield the time when it is."""
        with self._changed:
            while self._running >= int(self._allowed):
                self._changed.wait()
            self._running += 1
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def went_well(self) -> None:
        """Allow a little more: one more request after as many good ones as are allowed at once."""
        with self._changed:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self._changed.notify_all()

    def was_too_much(self, sent: float) -> None:
        """Allow half as many requests; do so once for all requests that were running when the server was overloaded."""
        with self._changed:
            if sent >= self._slowed_at:
                self._allowed = max(1.0, self._allowed / 2)
                self._slowed_at = time.monotonic()
