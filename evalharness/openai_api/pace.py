"""Let as many requests run at once as a server bears: one more after each round that went well, half as many when it is
overloaded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST = 8  # requests at once, until the server has shown what it bears


class Pace:
    """Bounds how many requests are under way, between 1 and `most`; shared by threads."""

    def __init__(self, most: int) -> None:
        self._most, self._allowed = most, float(min(most, FIRST))
        self._running, self._slowed_at = 0, 0.0
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return int(self._allowed)

    @contextmanager
    def one_request(self) -> Iterator[float]:
        """Wait until one more may be sent; gives the time when it was."""
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
        """Allow a little more: one more request once as many as are allowed went well."""
        with self._changed:
            self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
            self._changed.notify_all()

    def was_too_much(self, sent: float) -> None:
        """Allow half as many, once for all requests that were under way when the server was overloaded."""
        with self._changed:
            if sent >= self._slowed_at:
                self._allowed = max(1.0, self._allowed / 2)
                self._slowed_at = time.monotonic()
