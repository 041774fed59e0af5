"""Answer for one model with any free Ray worker, like an engine of this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from evalharness.engines.spreading import BlockJob
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, Request, Response

if TYPE_CHECKING:
    from evalharness.engines.ray.pool import WorkerPool
    from evalharness.engines.ray.worker import OpenedEngine

ALONE = itertools.count(1 << 40)  # numbers of jobs outside a run, which no run uses


class RayEngine:
    """One model that Ray workers answer for, with the optional probes of the engine in each worker. A worker's engine
    stays open when this one is closed, until the worker opens another model.
    """

    def __init__(self, pool: WorkerPool, checkpoint: Checkpoint, opened: OpenedEngine) -> None:
        self.info, self._pool, self._checkpoint = opened.info, pool, checkpoint
        for name in opened.probes:
            setattr(self, name, partial(self._probe, name))

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Yield one response or failure per request. All of them are failures if workers are lost over the block
        repeatedly.
        """
        return self.answer_with_drafts(requests, {})

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        """Answer as `answer` does; the engines in the workers may use the drafts."""
        job = BlockJob(number=next(ALONE), checkpoint=self._checkpoint, requests=tuple(requests), drafts=dict(drafts))
        self._pool.add(job)
        for block in self._pool.finished():
            yield from block.answers

    @property
    def plain_because(self) -> str:
        """Return the reason for the slower path, from one of the workers."""
        return str(self._pool.call(self._checkpoint, "plain_because"))

    def close(self) -> None:
        """Free the workers for the next model."""

    def _probe(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        return self._pool.call(self._checkpoint, "call", method, (arguments, keywords))
