"""Call a function that has no time limit of its own, and wait for its answer for a limited time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


def call_within(seconds: float, question: Callable[[], Answer]) -> Answer:
    """Return the function's value. Raises its errors, and TimeoutError after so many seconds; the function then goes on
    in its thread, because resolving a host's name cannot be stopped.
    """
    answer: Future[Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None
