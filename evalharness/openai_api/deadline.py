"""Bound a whole HTTP exchange by one point of time, where the library bounds every read on its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

OPENED = (".connect_tcp.complete", ".start_tls.complete")
Read = Callable[..., bytes]


class Deadline(threading.local):
    """The time, of `time.monotonic`, by which the exchange of the present thread has to end. `trace` is an extension of
    its requests: it bounds the reads of each connection that is opened, also of headers that trickle.
    """

    at = float("inf")

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Bound the reads of a stream once it is there."""
        if event.endswith(OPENED):
            stream = info["return_value"]
            stream.read = self._bounded(stream.read)

    def _bounded(self, read: Read) -> Read:
        def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
            left = self.at - time.monotonic()
            if left <= 0:
                raise httpx2.ReadTimeout("the whole answer took too long")
            return read(max_bytes, timeout=left if timeout is None else min(timeout, left))

        return bounded
