"""Answer for one model by whichever worker is free, as an engine of this machine does."""

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

ALONE = itertools.count(1 << 40)  # numbers of jobs that no run has given


class RayEngine:
    """One model of the workers'. It has those of the optional probes that the engine inside has; a worker's engine
    stays open when this is closed, until the worker takes another model.
    """

    def __init__(self, pool: WorkerPool, checkpoint: Checkpoint, opened: OpenedEngine) -> None:
        self.info, self._pool, self._checkpoint = opened.info, pool, checkpoint
        for name in opened.probes:
            setattr(self, name, partial(self._probe, name))

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request; failures of all where workers are lost over them again and again."""
        return self.answer_with_drafts(requests, {})

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        """As `answer`, and the engine inside may use the drafts."""
        job = BlockJob(number=next(ALONE), checkpoint=self._checkpoint, requests=tuple(requests), drafts=dict(drafts))
        self._pool.add(job)
        for block in self._pool.finished():
            yield from block.answers

    @property
    def plain_because(self) -> str:
        """As of AnswersPlainly, as far as the worker that says it has answered."""
        return str(self._pool.call(self._checkpoint, "plain_because"))

    def close(self) -> None:
        """Leave the workers to the next model."""

    def _probe(self, method: str, *arguments: Any, **named: Any) -> Any:
        return self._pool.call(self._checkpoint, "call", method, (arguments, named))
