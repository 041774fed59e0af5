"""Choose the next block for a free worker: of its open model, else of the model with most blocks a worker."""

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
    """One call of a worker. `losses`: the nodes of the workers that were lost over it; `problem`: of the last try."""

    checkpoint: Checkpoint
    method: str
    arguments: tuple[Any, ...]
    number: int = -1  # of a block's job
    losses: list[str] = field(default_factory=list)
    tries: int = 0
    problem: str = ""


class CallQueue:
    """Tasks that wait for a worker, by model, each model's in their order."""

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
