"""Requests to responses: ask the store, have the engine answer what is missing, block by block, and keep every block at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evalharness.engines.base import Engine
from evalharness.records.requests import Failure, Request, Response
from evalharness.store import Store

BLOCK = 128  # requests; what a kill loses at most, and what the engine plans its batches over


@dataclass(frozen=True, slots=True)
class Lane:
    """One model's way to its answers. `open_engine` is called at most when an answer is missing."""

    model: str  # checkpoint fingerprint
    engine: str  # engine fingerprint
    store: Store
    open_engine: Callable[[], Engine]
    progress: Callable[[int, int], None] = lambda stored, computed: None


def blocks(requests: Sequence[Request]) -> Iterator[dict[str, Request]]:
    """Distinct requests in the order given, in blocks. The plan depends on nothing else, so it is the same for base and
    candidates.
    """
    distinct = list({request.id: request for request in requests}.items())
    for start in range(0, len(distinct), BLOCK):
        yield dict(distinct[start : start + BLOCK])


def collect(requests: Sequence[Request], lane: Lane) -> dict[str, Response | Failure]:
    """An answer or a failure for every request, by request id.

    A block with a missing answer goes to the engine whole, so that what shares a batch never depends on where an
    earlier run was interrupted; answers already stored win over those computed again. Failures are returned and not
    stored.
    """
    answers: dict[str, Response | Failure] = {}
    for block in blocks(requests):
        stored: dict[str, Response | Failure] = dict(lane.store.read(lane.model, lane.engine, list(block)))
        if len(stored) == len(block):
            answers |= stored
            lane.progress(len(block), 0)
            continue
        computed = {answer.request_id: answer for answer in lane.open_engine().answer(list(block.values()))}
        lane.store.add(lane.model, lane.engine, [a for a in computed.values() if not isinstance(a, Failure)])
        silent = {
            key: Failure(request_id=key, reason="the engine gave no answer") for key in block if key not in computed
        }
        answers |= silent | computed | stored
        lane.progress(len(stored), len(block) - len(stored))
    return answers
