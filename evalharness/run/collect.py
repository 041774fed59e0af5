"""Collect a model's answers from the store, send what is missing to the engine block by block, and store each block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalharness.engines.base import AnswersWithDrafts, Engine, WatchesWeights, errors_of
from evalharness.interruption import stop_if_interrupted
from evalharness.records.requests import (
    ANSWERED_BY,
    Failure,
    Generate,
    Generation,
    Rank,
    Ranking,
    Request,
    Response,
    Scoring,
)
from evalharness.store import Store

BLOCK = 128  # requests; a kill loses at most one block, and the engine plans its batches within one
MOST_UNCHECKED = 8  # blocks that wait for a check of the weights; of a served model, a kill loses at most these

Answers = Mapping[str, Response | Failure]  # by request id


class AnswerKeeper:
    """Stores one model's answers.

    They are stored at once. If the engine watches its weights (as on a server), they wait for a full check of the
    weights, and answers without that check are not stored.
    """

    def __init__(self, store: Store, model: str, engine: str) -> None:
        self._store, self._key = store, (model, engine)
        self._waiting: list[Response] = []
        self._blocks = 0
        self._engine: Engine | None = None

    def add(self, engine: Engine, answers: Sequence[Response]) -> None:
        """Add the answers of one block. Raises as `flush`."""
        self._engine, self._blocks = engine, self._blocks + 1
        self._waiting += answers
        if not isinstance(engine, WatchesWeights) or self._blocks >= MOST_UNCHECKED:
            self.flush()

    def flush(self) -> None:
        """Store the answers that wait. Raises NotComparableError, and stores none, if the weights changed."""
        waiting, self._waiting, self._blocks = self._waiting, [], 0
        if not waiting:
            return
        if isinstance(engine := self._engine, WatchesWeights):
            with errors_of(engine.info.name, "check_weights"):
                engine.check_weights()
        self._store.add(*self._key, waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSource:
    """The place that one model's answers come from: the store, and its engine for those that the store lacks.

    `model`, `engine`: the fingerprints under which answers are stored. `open_engine` is called only when an answer is
    missing. `keeper`: stores new answers, and its owner flushes it; None: each `collect` makes and flushes one of its
    own. `failures`: request id -> the failure, of requests that get no answer in this run. `progress` receives every
    block's requests, its answers, and how many of these were stored.

    `drafted_by`: the fingerprint of the base, whose stored texts serve as drafts of this model's; "" for no drafts. All
    answers of the base are stored before another model answers, so that a run that continues after an interruption has
    the same drafts. If some have left the store by then, the texts are the same and take longer.
    """

    model: str  # checkpoint fingerprint
    engine: str  # engine fingerprint
    store: Store
    open_engine: Callable[[], Engine]
    drafted_by: str = ""
    keeper: AnswerKeeper | None = None  # its owner flushes it; None: each `collect` flushes its own
    failures: Mapping[str, Failure] = field(default_factory=dict)
    progress: Callable[[Sequence[Request], Answers, int], None] = lambda requests, answers, stored: None


def blocks(requests: Sequence[Request]) -> Iterator[dict[str, Request]]:
    """Yield the distinct requests in their order, in blocks of BLOCK. Only the requests decide the blocks, so that they
    are the same for base and candidates.
    """
    distinct = list({request.id: request for request in requests}.items())
    for start in range(0, len(distinct), BLOCK):
        yield dict(distinct[start : start + BLOCK])


def checked(request: Request, answer: Response | Failure | None) -> Response | Failure:
    """Return the answer if it fits the request, else a Failure that says what is wrong with it, so that a mistake of an
    engine is neither scored nor stored.
    """
    wrong = ""
    if answer is None:
        wrong = "the engine gave no answer"
    elif not isinstance(answer, (ANSWERED_BY[type(request)], Failure)):
        wrong = f"the engine answered a {type(request).__name__} with a {type(answer).__name__}"
    elif isinstance(answer, Ranking) and isinstance(request, Rank):
        lengths = {len(answer.logprobs), len(answer.tokens), len(answer.greedy)}
        if lengths != {len(request.pairs)}:
            wrong = f"the engine ranked {len(answer.logprobs)} of {len(request.pairs)} continuations"
        elif not all(map(math.isfinite, answer.logprobs)):
            wrong = "a log-probability is not a finite number"
    elif isinstance(answer, Scoring) and not math.isfinite(answer.logprob):
        wrong = "the log-probability is not a finite number"
    return Failure(request_id=request.id, reason=wrong) if wrong or answer is None else answer


def ask(
    engine: Engine, block: Mapping[str, Request], drafts: Mapping[str, str] | None = None
) -> dict[str, Response | Failure]:
    """Have the engine answer one block, and check every answer. `drafts`: request id -> a text that may be its answer,
    for engines that can use them. Raises NotComparableError for an engine that raises.
    """
    requests = list(block.values())
    with errors_of(engine.info.name, "answer"):
        if drafts and isinstance(engine, AnswersWithDrafts):
            answers = engine.answer_with_drafts(requests, drafts)
        else:
            answers = engine.answer(requests)
        by_id = {answer.request_id: answer for answer in answers}
    return {key: checked(request, by_id.get(key)) for key, request in block.items()}


def drafts_of(source: AnswerSource, block: Mapping[str, Request]) -> dict[str, str]:
    """Read the texts that the base wrote to the block's requests, by request id."""
    keys = [key for key, request in block.items() if isinstance(request, Generate)] if source.drafted_by else []
    stored = source.store.read(source.drafted_by, source.engine, keys) if keys else {}
    return {key: answer.text for key, answer in stored.items() if isinstance(answer, Generation)}


def collect(requests: Sequence[Request], source: AnswerSource) -> dict[str, Response | Failure]:
    """Collect an answer or a failure for every request, by request id.

    A block with a missing answer goes to the engine whole, so that the batches do not depend on where an earlier run
    was interrupted; stored answers win over those computed again. Failures are returned and not stored.
    """
    keeper = source.keeper or AnswerKeeper(source.store, source.model, source.engine)
    answers: dict[str, Response | Failure] = {}
    try:
        for block in blocks(requests):
            stop_if_interrupted()
            stored = source.store.read(source.model, source.engine, list(block))
            failures = {key: source.failures[key] for key in block if key in source.failures}
            of_block: dict[str, Response | Failure] = {**failures, **stored}
            if len(of_block) < len(block):
                engine = source.open_engine()
                computed = ask(engine, block, drafts_of(source, block))
                keeper.add(engine, [answer for answer in computed.values() if not isinstance(answer, Failure)])
                stop_if_interrupted()
                of_block = computed | of_block
            source.progress(list(block.values()), of_block, len(stored))
            answers |= of_block
    except KeyboardInterrupt:
        keeper.flush()
        raise
    if source.keeper is None:
        keeper.flush()
    return answers
