"""Run an evaluation in which no answer may be missing, because a choice depends on it."""

from __future__ import annotations

from evalharness.engines.base import EngineFactory
from evalharness.errors import NotComparableError
from evalharness.records.job import Job
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate
from evalharness.run.progress import ProgressListener


def evaluate_whole(
    job: Job, name: str, listener: ProgressListener, factory: EngineFactory, *, overlaps: bool = True
) -> Results:
    """Evaluate the model of that `name`, with every answer. `overlaps`: as in `evaluate`. Raises NotComparableError if
    an answer is missing, and as `evaluate` does.
    """
    measured = evaluate(job, listener, factory, overlaps=overlaps)
    if measured.unanswered:
        raise NotComparableError(name, measured.unanswered, "give the same command again: what was answered is kept")
    return measured
