"""Choose the next block (requests of one task to one model) for a free worker.

A worker first gets a block of the model that it has open, else of the model with the most blocks for each worker.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from evalharness.engines.spreading import weights_of
from evalharness.records.models import Checkpoint

ModelKey = tuple[str, str]  # name, fingerprint


def key_of(checkpoint: Checkpoint) -> ModelKey:
    """Identify a model, also among models with equal files."""
    return checkpoint.name, checkpoint.fingerprint


@dataclass(slots=True)
class WorkerCall:
    """One call of a method in a worker, and what became of it.

    `number`: of the block, -1 for another call. `losses`: the nodes of the workers that were lost over the call.
    `tries`: how often it was tried. `problem`: what went wrong at the last try.
    """

    checkpoint: Checkpoint
    method: str
    arguments: tuple[Any, ...]
    number: int = -1  # of a block's job
    losses: list[str] = field(default_factory=list)
    tries: int = 0
    problem: str = ""


class CallQueue:
    """The calls that wait for a worker, by model; the calls of one model are in the order in which they were added."""

    def __init__(self) -> None:
        self._tasks: dict[ModelKey, deque[WorkerCall]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))

    def add(self, task: WorkerCall) -> None:
        self._tasks.setdefault(key_of(task.checkpoint), deque()).append(task)

    def take(self, has_open: Checkpoint | None, at_work: Counter[ModelKey]) -> WorkerCall | None:
        """Take a task for a worker that has this model open: of that model, else of a model on the same weights, else
        of any. Among several models take the one with most tasks for each worker that is `at_work` on it. None if no
        task waits.
        """
        waiting = {key: tasks for key, tasks in self._tasks.items() if tasks}
        if not waiting:
            return None
        if has_open is not None and key_of(has_open) in waiting:
            return waiting[key_of(has_open)].popleft()
        if has_open is not None:
            weights = weights_of(has_open)
            waiting = {
                key: each for key, each in waiting.items() if weights_of(each[0].checkpoint) == weights
            } or waiting
        most = max(waiting, key=lambda key: len(waiting[key]) / (at_work[key] + 1))
        return waiting[most].popleft()
