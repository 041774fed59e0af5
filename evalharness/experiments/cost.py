"""Estimate the cost of one model's answers: tokens by its tokenizer, and time from a few answers."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCost:
    """The cost of one task's answers for one model.

    `answer_tokens`: those of the scored choices; if answers are `written`, the most that they may have. `seconds`: for
    all requests, None without a probe (timed answers to a few of them).
    """

    task: str
    requests: int
    prompt_tokens: int
    answer_tokens: int
    written: bool
    seconds: float | None = None


def token_cost(prepared: PreparedTask, count: TokenCounter) -> TaskCost:
    """Count the tokens of a task's distinct requests: every prompt once, every choice of each."""
    distinct = _distinct(prepared)
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
        task=prepared.task.name,
        requests=len(distinct),
        prompt_tokens=prompts,
        answer_tokens=answers,
        written=any(isinstance(request, Generate) for request in distinct),
    )


def with_seconds(
    costs: Sequence[TaskCost],
    prepared: Sequence[PreparedTask],
    most: int,
    base: Checkpoint,
    open_engine: Callable[[], Engine],
) -> tuple[tuple[TaskCost, ...], float]:
    """Add the seconds of each task, estimated from at most `most` of its requests, evenly spread; also return the
    seconds of loading. Nothing is stored.

    Raises ModelError if the model cannot be loaded or does not answer.
    """
    begun = time.perf_counter()
    engine = open_engine()
    loading, timed = time.perf_counter() - begun, []
    try:
        first = next((task.requests[:1] for task in prepared if task.requests), ())
        list(engine.answer(first))  # warm-up, which only the first answer pays
        for cost, task in zip(costs, prepared, strict=True):
            distinct = _distinct(task)
            places = sorted({int(place) for place in np.linspace(0, len(distinct) - 1, min(most, len(distinct)))})
            seconds = _seconds(engine, base, [distinct[place] for place in places])
            timed.append(replace(cost, seconds=seconds * len(distinct) / max(1, len(places))))
    finally:
        engine.close()
    return tuple(timed), loading


def _seconds(engine: Engine, base: Checkpoint, requests: Sequence[Request]) -> float:
    begun = time.perf_counter()
    for answer in engine.answer(requests) if requests else ():
        if isinstance(answer, Failure):
            fix = "a model and an engine that answer are needed for --probe"
            raise ModelError(base.name, f"a request got no answer ({answer.reason})", fix)
    return time.perf_counter() - begun


def _distinct(prepared: PreparedTask) -> list[Request]:
    return list({request.id: request for request in prepared.requests}.values())
