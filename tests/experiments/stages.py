"""The stages of a trace: scripted answers of models that know so many rows, and what a trace says of a stage."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.records.requests import Failure, Generate, Generation, Ranking, Request, Response
from evalharness.report.stages import Stages, StageTask


def knows(yes_no: int, echo: int) -> Callable[[Request], Response | Failure]:
    """Right about the first so many rows of each task; every row ends with its number."""

    def reply(request: Request) -> Response | Failure:
        if isinstance(request, Generate):
            right = int(request.prompt.split()[-2]) < echo
            return Generation(
                request_id=request.id, text=request.prompt[:-2] if right else "lost", finish_reason="stop", tokens=3
            )
        number = int(request.pairs[0][0].split()[-2])  # type: ignore[union-attr]
        chosen = number % 2 if number < yes_no else 1 - number % 2
        return Ranking(
            request_id=request.id,
            logprobs=tuple(0.0 if i == chosen else -5.0 for i in range(2)),
            tokens=(1, 1),
            greedy=(chosen == 0, chosen == 1),
        )

    return reply


def column(stages: Stages, name: str) -> StageTask:
    return next(each for each in stages.columns if each.name == name)


def measure(stages: Stages, over: str, name: str) -> float | str:
    """Its value, or the reason why there is none."""
    entry = next(each for each in stages.measures if (each.over, each.name) == (over, name))
    return entry.reason if entry.estimate is None else entry.estimate.value
