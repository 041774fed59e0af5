"""What requests to a server may take, and how many may be sent by all clients together; light to import."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


class RequestBudget:
    """Counts requests of several clients, which threads may share."""

    def __init__(self) -> None:
        self.spent, self._lock = 0, threading.Lock()

    def spend(self, most: int | None) -> bool:
        """Count one more request; tells whether it is one of the `most` that may be sent."""
        with self._lock:
            if most is not None and self.spent >= most:
                return False
            self.spent += 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What requests to one server may take.

    `concurrency`: how many at once, at most; `timeout`: seconds for one answer, from first to last byte; `attempts`: of
    one request; `most_requests`: of all clients that were given these limits, None: no limit; `first_wait`,
    `longest_wait`: seconds before the second attempt, and before a later one, at most (drawn below that, so that
    clients do not come back together).
    """

    concurrency: int = 32
    timeout: float = 300.0
    attempts: int = 8
    most_requests: int | None = None
    first_wait: float = 0.5
    longest_wait: float = 30.0
    budget: RequestBudget = field(default_factory=RequestBudget, compare=False, repr=False)
