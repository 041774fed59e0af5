"""Scripted answers of models that know so many rows of the small world's tasks."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.records.requests import Failure, Generate, Generation, Ranking, Request, Response


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
