"""Lengths to batches: longest first, bounded in rows and in rows × length; and a batch to answers, halved while memory
does not suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
TOO_LARGE = "out of memory with a single row"
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")


def plan(lengths: Sequence[int], rows: int, tokens: int) -> list[list[int]]:
    """Indices into `lengths`, each once, in batches of at most `rows` rows and, above one row, at most `tokens` tokens
    with padding.

    Longest first and equals in their given order, so that equal lengths give equal batches whoever asks.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = not batches or len(batches[-1]) >= rows or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > tokens
        if full:
            batches.append([])
        batches[-1].append(index)
    return batches


def out_of_memory(error: BaseException) -> bool:
    """Is this the accelerator's or the operating system's way to say that memory does not suffice?"""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """Why one row alone could not be answered."""

    reason: str


def answered(
    batch: Sequence[int], ask: Callable[[Sequence[int]], Sequence[T]], recover: Callable[[], None]
) -> Iterator[tuple[int, T | Refused]]:
    """(index, answer) for every index of the batch. When memory does not suffice or the model fails, both halves are
    asked, so that a row that cannot be answered costs no other its answer.

    `recover` is called in between, to free what the failed attempt held.
    """
    answers = _attempt(batch, ask)
    if not isinstance(answers, Refused):
        yield from zip(batch, answers, strict=True)
        return
    recover()
    if len(batch) == 1:
        yield batch[0], answers
        return
    middle = (len(batch) + 1) // 2
    yield from answered(batch[:middle], ask, recover)
    yield from answered(batch[middle:], ask, recover)


def _attempt(batch: Sequence[int], ask: Callable[[Sequence[int]], Sequence[T]]) -> Sequence[T] | Refused:
    """The error's frames, and the tensors they hold, are gone once this returns."""
    try:
        return ask(batch)
    except (MemoryError, RuntimeError, IndexError) as error:  # what torch raises
        first_line = str(error).partition("\n")[0][:200]
        return Refused(TOO_LARGE if out_of_memory(error) else f"the model failed: {type(error).__name__}: {first_line}")
