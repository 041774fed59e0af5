"""Count what one model's answers to tasks cost: tokens by its tokenizer, and the time that a few answers took, scaled to
all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalharness.engines.base import Engine
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, Generate, PreparedTask, Rank, Request
from evalharness.records.tokenizers import TokenCounter


@dataclass(frozen=True, slots=True)
class TaskCost:
    """What one task costs one model. `answer_tokens`: of choices that are scored, or at most so many `written`.
    `seconds`: None without a probe.
    """

    task: str
    requests: int
    prompt_tokens: int
    answer_tokens: int
    written: bool
    seconds: float | None = None


def counted(of_task: PreparedTask, count: TokenCounter) -> TaskCost:
    """Tokens of the distinct requests: every prompt once, every choice of each."""
    distinct = _distinct(of_task)
    prompts = answers = 0
    for request in distinct:
        if isinstance(request, Rank):
            prompts += sum(map(count, {context for context, _ in request.pairs}))
            answers += sum(count(continuation) for _, continuation in request.pairs)
        elif isinstance(request, Generate):
            prompts, answers = prompts + count(request.prompt), answers + request.max_tokens
        else:
            answers += count(request.text)
    return TaskCost(
        of_task.task.name, len(distinct), prompts, answers, any(isinstance(request, Generate) for request in distinct)
    )


def probed(
    work: Sequence[TaskCost],
    prepared: Sequence[PreparedTask],
    most: int,
    base: Checkpoint,
    open_engine: Callable[[], Engine],
) -> tuple[tuple[TaskCost, ...], float]:
    """The same with seconds, from at most `most` requests of each task, evenly spread over it; and the seconds that
    loading took. Nothing is stored.

    Raises ModelError where the model cannot be loaded or does not answer.
    """
    begun = time.perf_counter()
    engine = open_engine()
    loading, found = time.perf_counter() - begun, []
    try:
        first = next((of_task.requests[:1] for of_task in prepared if of_task.requests), ())
        list(engine.answer(first))  # what only the first answer costs is no part of the time
        for each, of_task in zip(work, prepared, strict=True):
            distinct = _distinct(of_task)
            places = sorted({int(place) for place in np.linspace(0, len(distinct) - 1, min(most, len(distinct)))})
            found.append(
                replace(
                    each,
                    seconds=_seconds(engine, base, [distinct[place] for place in places])
                    * len(distinct)
                    / max(1, len(places)),
                )
            )
    finally:
        engine.close()
    return tuple(found), loading


def _seconds(engine: Engine, base: Checkpoint, requests: Sequence[Request]) -> float:
    begun = time.perf_counter()
    for answer in engine.answer(requests) if requests else ():
        if isinstance(answer, Failure):
            raise ModelError(
                base.name,
                f"a request got no answer ({answer.reason})",
                "a model and an engine that answer are needed for --probe",
            )
    return time.perf_counter() - begun


def _distinct(of_task: PreparedTask) -> list[Request]:
    return list({request.id: request for request in of_task.requests}.values())
