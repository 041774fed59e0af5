"""Plan batches by length, longest first, within limits of rows and tokens; halve a batch that runs out of memory."""

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
    """The most rows of a batch, and the most tokens with padding of a batch of several rows."""

    rows: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why one row could not be answered, not even alone."""

    reason: str


def plan(lengths: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Return indices into `lengths`, each once, in batches within the limits.

    The order is longest first, equal lengths in their order, so that equal lengths always give equal batches.
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
    """Plan batches by length, and answer them as `in_planned_batches` does; return the results in the order of the
    items.
    """
    results = in_planned_batches(items, plan(lengths, limits), forward, read)
    return [results[i] for i in range(len(items))]


def in_planned_batches(
    items: Sequence[Item],
    batches: Sequence[Sequence[int]],
    forward: Callable[[Sequence[Item]], Output],
    read: Callable[[Sequence[Item], Output], Sequence[Result]],
) -> dict[int, Result | Refusal]:
    """Run `forward` on each batch, and return what `read` makes of its output: index of the item -> result.

    If memory does not suffice or the model fails, both halves of the batch are tried, so that a row that cannot be
    answered does not make others fail.
    """
    results: dict[int, Result | Refusal] = {}
    waiting = [list(batch) for batch in batches][::-1]
    while waiting:
        batch = waiting.pop()
        try:
            rows = [items[i] for i in batch]
            answers = read(rows, forward(rows))
        except (MemoryError, RuntimeError, IndexError) as error:  # the exceptions of torch
            refusal = refusal_of(error)
        else:
            results.update(zip(batch, answers, strict=True))
            continue
        free_memory()  # only here: the error's frames no longer hold tensors
        if len(batch) == 1:
            results[batch[0]] = refusal
        else:
            waiting += _halves(batch)
    return results


def refusal_of(error: Exception) -> Refusal:
    """Make the refusal of a row whose forward pass raised this error."""
    first_line = str(error).partition("\n")[0][:200]
    failed = f"the model failed: {type(error).__name__}: {first_line}"
    return Refusal(reason=TOO_LARGE if out_of_memory(error) else failed)


def rows_in_batches(
    lengths: Sequence[int], limits: BatchLimits, ask: Callable[[list[int]], torch.Tensor]
) -> NDArray[np.float64]:
    """Return the rows (n, …) that `ask` computes for batches of indices into `lengths`, in the order of `lengths`. A
    batch that runs out of memory is halved. Raises MemoryError for a single row, and any other error of `ask`.
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
    """Return both halves of a batch, the first one last, because batches are popped from the end."""
    middle = (len(batch) + 1) // 2
    return [batch[middle:], batch[:middle]]


def free_memory() -> None:
    """Free memory that no object refers to any more, on the CPU and on the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
