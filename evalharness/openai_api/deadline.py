"""Bound a whole HTTP exchange by one deadline, because the library bounds each read on its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

OPENED = (".connect_tcp.complete", ".start_tls.complete")
Read = Callable[..., bytes]


class Deadline(threading.local):
    """The time by which the exchange of the current thread must end. `at`: that time, by `time.monotonic`. `trace`: an
    extension of its requests that bounds the reads of each new connection, also of slow headers.
    """

    at = float("inf")

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Bound the reads of a stream when it is opened."""
        if event.endswith(OPENED):
            stream = info["return_value"]
            stream.read = self._bounded(stream.read)

    def _bounded(self, read: Read) -> Read:
        def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
            seconds = self.at - time.monotonic()
            if seconds <= 0:
                raise httpx2.ReadTimeout("the whole answer took too long")
            return read(max_bytes, timeout=seconds if timeout is None else min(timeout, seconds))

        return bounded
