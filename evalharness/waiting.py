"""Wait for an answer for some time at the most, where what is called has no time limit of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, question: Callable[[], Answer]) -> Answer:
    """Return what a function returns. Raises what it raises, and TimeoutError where that takes longer: the function is
    then left behind in its thread, as resolving a host's name has no time limit.
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
