"""Send every block that the store lacks to an engine with several workers, before the ordinary loop reads the store.

A block is a part of one task's requests to one model, at most 128, which a worker answers as a whole. The blocks are
those that `collect` would send, so that the same requests share a batch. If a block has texts to write, it waits for
its drafts: until the base has answered these requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.engines.base import errors_of
from evalharness.engines.spreading import AnsweredBlock, BlockJob, BlockSpreader, SpreadsBlocks
from evalharness.interruption import stop_if_interrupted
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, Generate, PreparedTask, Request
from evalharness.run.collect import AnswerSource, blocks, checked, drafts_of
from evalharness.run.session import RunContext, Session

Work = Sequence[tuple[Checkpoint, Sequence[PreparedTask]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBlock:
    """One block with missing answers.

    `session`, `task`, `source`: the model, the task and the source of answers that it belongs to. `requests`: all
    requests of the block, by id. `own`: those that this block answers; the others are in the store, or in an earlier
    block of the same model. `texts`: those whose answers are written.
    """

    session: Session
    task: str
    source: AnswerSource
    requests: dict[str, Request]
    own: frozenset[str]
    texts: frozenset[str]


def answer_ahead(context: RunContext, work: Work) -> None:
    """Answer the tasks of all checkpoints at once if the factory spreads blocks; otherwise do nothing. Raises
    EvalHarnessError if a model cannot be opened, or no engine is left.
    """
    factory = context.slot.factory
    if not isinstance(factory, SpreadsBlocks):
        return
    planned = _planned(context, work)
    if not planned:
        return
    context.listener.phase("answers of all models, side by side")
    with errors_of(type(factory).__name__, "spread"):
        Spread(context, planned, factory.spread(context.job.engine)).collect()


class Spread:
    """Sends blocks to the engines. A block that waits for drafts is held back until they exist."""

    def __init__(self, context: RunContext, planned: Sequence[PlannedBlock], spreader: BlockSpreader) -> None:
        self._context, self._spreader = context, spreader
        self._unwritten = {key for block in planned if self._is_base(block) for key in block.texts & block.own}
        self._waiting, self._sent = list(planned), dict[int, PlannedBlock]()
        self._numbers = itertools.count()

    def collect(self) -> None:
        """Send all blocks, and store each block's answers when they come."""
        self._send_ready()
        for answered in self._spreader.finished():
            stop_if_interrupted()
            block = self._sent.pop(answered.job.number)
            self._keep(block, answered)
            if self._is_base(block):
                self._unwritten -= block.own
                self._send_ready()

    def _is_base(self, block: PlannedBlock) -> bool:
        base = self._context.base
        return isinstance(base, Checkpoint) and block.session.checkpoint.fingerprint == base.fingerprint

    def _send_ready(self) -> None:
        """Send the blocks whose drafts exist, first those that others wait for."""
        ready, waiting = list[PlannedBlock](), list[PlannedBlock]()
        for block in self._waiting:
            (ready if self._is_base(block) or not block.texts & self._unwritten else waiting).append(block)
        self._waiting = waiting
        for block in sorted(ready, key=lambda each: not (self._is_base(each) and each.texts)):
            number = next(self._numbers)
            self._sent[number] = block
            job = BlockJob(
                number=number,
                checkpoint=block.session.checkpoint,
                requests=tuple(block.requests.values()),
                drafts=drafts_of(block.source, block.requests),
            )
            self._spreader.add(job)

    def _keep(self, block: PlannedBlock, answered: AnsweredBlock) -> None:
        context, model = self._context, block.session.checkpoint.fingerprint
        by_id = {answer.request_id: answer for answer in answered.answers}
        answers = {key: checked(request, by_id.get(key)) for key, request in block.requests.items()}
        own = [answers[key] for key in block.requests if key in block.own]
        context.store.add(model, context.info.fingerprint, [each for each in own if not isinstance(each, Failure)])
        failures = context.ahead.failures.setdefault(model, {})
        failures.update({each.request_id: each for each in own if isinstance(each, Failure)})
        context.run_log.add_block(answered)
        if answered.cost is not None:
            block.session.spend(answered.cost)
        seconds = answered.cost.seconds if answered.cost else 0.0
        requests = list(block.requests.values())
        block.session.count(block.task, requests, answers, len(requests) - len(own), seconds)
        context.ahead.counted.add((block.session.checkpoint.name, block.task, requests[0].id))


def _planned(context: RunContext, work: Work) -> list[PlannedBlock]:
    """List the blocks with a missing answer, in the order of the ordinary loop."""
    planned = []
    answered: dict[str, set[str]] = {}
    for checkpoint, prepared in work:
        session, model = Session(context, checkpoint), checkpoint.fingerprint
        before = answered.setdefault(model, set(context.ahead.failures_of(model)))
        for task in prepared:
            source = session.source(task.task.name)
            for block in blocks(task.requests):
                stored = context.store.read(model, context.info.fingerprint, list(block))
                own = frozenset(block.keys() - stored.keys() - before)
                if own:
                    before |= own
                    texts = frozenset(key for key, request in block.items() if isinstance(request, Generate))
                    planned.append(
                        PlannedBlock(
                            session=session, task=task.task.name, source=source, requests=block, own=own, texts=texts
                        )
                    )
    return planned
