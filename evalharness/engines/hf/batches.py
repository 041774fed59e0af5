"""Plan batches by length, longest first, bounded in rows and in rows × length; and halve one for which memory does not
suffice.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.errors import out_of_memory

Item = TypeVar("Item")
Output = TypeVar("Output")
Result = TypeVar("Result")
TOO_LARGE = "out of memory with a single row"


class BatchLimits(NamedTuple):
    """Most rows of a batch and, above one row, most tokens with padding."""

    rows: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one row alone could not be answered."""

    reason: str


def plan(lengths: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Indices into `lengths`, each once, in batches within the limits.

    Longest first and equals in their given order, so that equal lengths give equal batches whoever asks.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if (
            not batches
            or len(batches[-1]) >= limits.rows
            or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > limits.tokens
        ):
            batches.append([])
        batches[-1].append(index)
    return batches


def in_batches(
    items: Sequence[Item],
    lengths: Sequence[int],
    limits: BatchLimits,
    forward: Callable[[Sequence[Item]], Output],
    read: Callable[[Sequence[Item], Output], Sequence[Result]],
) -> list[Result | Refusal]:
    """What `in_given_batches` finds for every item, in their order, in batches that are planned by length."""
    results = in_given_batches(items, plan(lengths, limits), forward, read)
    return [results[i] for i in range(len(items))]


def in_given_batches(
    items: Sequence[Item],
    batches: Sequence[Sequence[int]],
    forward: Callable[[Sequence[Item]], Output],
    read: Callable[[Sequence[Item], Output], Sequence[Result]],
) -> dict[int, Result | Refusal]:
    """What `read` finds in the output of a batch's `forward` for every item, by its index in `items`. When memory does
    not suffice or the model fails, both halves of the batch are tried, so that a row that cannot be answered costs no
    other its answer.
    """
    results: dict[int, Result | Refusal] = {}
    waiting = [list(batch) for batch in batches][::-1]
    while waiting:
        batch = waiting.pop()
        try:
            rows = [items[i] for i in batch]
            answers = read(rows, forward(rows))
        except (MemoryError, RuntimeError, IndexError) as error:  # what torch raises
            refusal = refusal_of(error)
        else:
            results.update(zip(batch, answers, strict=True))
            continue
        free_memory()  # the error's frames, and the tensors that they held, are gone by now
        if len(batch) == 1:
            results[batch[0]] = refusal
        else:
            waiting += _halves(batch)
    return results


def refusal_of(error: Exception) -> Refusal:
    """Say why a row could not be answered whose pass raised this."""
    first_line = str(error).partition("\n")[0][:200]
    failed = f"the model failed: {type(error).__name__}: {first_line}"
    return Refusal(reason=TOO_LARGE if out_of_memory(error) else failed)


def rows_in_batches(
    lengths: Sequence[int], limits: BatchLimits, ask: Callable[[list[int]], torch.Tensor]
) -> NDArray[np.float64]:
    """The rows (n, …) that `ask` gives for batches of indices into `lengths`, in the order of these. When memory does
    not suffice, halves of the batch are asked. Raises MemoryError for a single row, and what `ask` raises else.
    """
    order: list[int] = []
    rows: list[NDArray[np.float64]] = []
    waiting = plan(lengths, limits)[::-1]
    while waiting:
        batch = waiting.pop()
        try:
            rows.append(ask(batch).double().cpu().numpy())
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise MemoryError(TOO_LARGE) from error
        else:
            order += batch
            continue
        free_memory()
        waiting += _halves(batch)
    return np.concatenate(rows)[np.argsort(order)]


def _halves(batch: list[int]) -> list[list[int]]:
    """Both halves of a batch, the first one last: it is taken from the end."""
    middle = (len(batch) + 1) // 2
    return [batch[middle:], batch[:middle]]


def free_memory() -> None:
    """Give back what nobody holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
