"""Draw few-shot examples: the same for every model, engine, limit and order of work.

    seeded       one draw for the whole task from hash(seed, task), so that all prompts share their header
    first_n      the first rows, as in published protocols
    per_example  a separate draw for each example, from hash(seed, task, row)

A row equal to the evaluated one is never its own shot; the next of the draw replaces it. lm-eval's `default` sampler is
also a seeded draw, but another one: numbers with shots agree with lm-eval's only with first_n.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.data.files import DataRow
from evalharness.errors import DataError
from evalharness.records.tasks import Task

SPARE = 1000  # additional rows of a draw, to replace rows equal to the evaluated one


def generator(*parts: object) -> random.Random:
    """Return a random generator whose draws depend only on the parts, on every machine."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Draws the few-shot examples of each evaluated row: `number` rows of `pool`, in order."""

    task: Task
    pool: Sequence[DataRow]
    number: int
    seed: int
    order: tuple[int, ...]  # the draw, with spare rows; unused by per_example

    def before(self, row: DataRow, key: str) -> list[DataRow]:
        """Return the shots of one evaluated row. `key` is unique for the row. Raises DataError if the pool is too
        small.
        """
        if self.number == 0:
            return []
        order: Sequence[int] = self.order
        if self.task.sampler == "per_example":
            size = min(len(self.pool), self.number + SPARE)
            order = generator("shots", self.seed, self.task.origin, key).sample(range(len(self.pool)), size)
        rows: list[DataRow] = []
        for index in order:
            if self.pool[index] != row:
                rows.append(self.pool[index])
            if len(rows) == self.number:
                return rows
        raise _too_few(self.task, self.number, len(rows))


def draw(task: Task, pool: Sequence[DataRow], number: int, seed: int) -> Shots:
    """Make the draw of a task's shots. Raises DataError if the pool has fewer rows than shots."""
    if number > len(pool):
        raise _too_few(task, number, len(pool))
    order: Sequence[int] = ()
    if task.sampler == "first_n":
        order = range(len(pool))
    elif task.sampler == "seeded" and number:
        order = generator("shots", seed, task.origin).sample(range(len(pool)), min(len(pool), number + SPARE))
    return Shots(task=task, pool=pool, number=number, seed=seed, order=tuple(order))


def _too_few(task: Task, number: int, others: int) -> DataError:
    split = task.fewshot_split or "fewshot_config.samples"
    what = f"{number} shots are asked for, but {split!r} has {others} other rows"
    return DataError(task.name, what, f"--num-fewshot {others} at most")
