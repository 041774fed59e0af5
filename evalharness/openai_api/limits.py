"""Define the limits of requests to a server, and the budget that all clients share; light to import."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


class RequestBudget:
    """Counts the requests of several clients, which may run in several threads."""

    def __init__(self) -> None:
        self.spent, self._lock = 0, threading.Lock()

    def spend(self, most: int | None) -> bool:
        """Count one more request, and return whether it is within `most` (None: no limit)."""
        with self._lock:
            if most is not None and self.spent >= most:
                return False
            self.spent += 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The limits of requests to one server.

    `concurrency`: the most requests at once. `timeout`: seconds for one answer, from first to last byte. `attempts`:
    the most for one request. `most_requests`: of all clients with these limits, None for no limit. `first_wait`,
    `longest_wait`: the most seconds before the second attempt, and before a later one; the wait is drawn at random
    below them, so that clients do not return together. `budget`: counts the requests.
    """

    concurrency: int = 32
    timeout: float = 300.0
    attempts: int = 8
    most_requests: int | None = None
    first_wait: float = 0.5
    longest_wait: float = 30.0
    budget: RequestBudget = field(default_factory=RequestBudget, compare=False, repr=False)
