"""Check, before any request, that the engine can answer the tasks of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evalharness.engines.base import EngineFactory, PartialAnswers, errors_of
from evalharness.errors import UsageError, some_of
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Generate, Profile, Rank, Request, Score
from evalharness.records.tasks import OutputType
from evalharness.run.plan import RunPlan

ASKED_BY: dict[OutputType, type[Request]] = {
    OutputType.MULTIPLE_CHOICE: Rank,
    OutputType.LOGLIKELIHOOD: Rank,
    OutputType.LOGLIKELIHOOD_ROLLING: Score,
    OutputType.GENERATE_UNTIL: Generate,
}
MOST = 12  # names in a message


def within_abilities(run_plan: RunPlan, factory: EngineFactory, drift: bool = False) -> RunPlan:
    """Check that the engine can answer a plan's tasks, and set its models' context windows to those that the engine
    has.

    Raises UsageError if the engine cannot answer some tasks for a model, naming these tasks and those that it can
    answer, or if it cannot measure the model's `drift`.
    """
    if not isinstance(factory, PartialAnswers):
        return run_plan
    with errors_of(type(factory).__name__, "unanswered"):
        for checkpoint in run_plan.checkpoints:
            unanswered = factory.unanswered(checkpoint)
            if drift and Profile in unanswered:
                fix = "leave out --drift (--drift-text, --drift-only, --drift-table), or use another engine"
                raise UsageError(checkpoint.name, f"cannot be asked for its drift: {unanswered[Profile]}", fix)
            _check_tasks(run_plan, checkpoint, unanswered)
        base = run_plan.base
        return replace(
            run_plan,
            base=_fitted(base, factory) if isinstance(base, Checkpoint) else base,
            candidates=tuple(_fitted(checkpoint, factory) for checkpoint in run_plan.candidates),
            references=tuple(_fitted(checkpoint, factory) for checkpoint in run_plan.references),
        )


def _check_tasks(run_plan: RunPlan, checkpoint: Checkpoint, unanswered: Mapping[type[Request], str]) -> None:
    kinds = {task.name: ASKED_BY[task.output_type] for task in run_plan.tasks}
    unanswerable = {name: kind for name, kind in kinds.items() if kind in unanswered}
    if not unanswerable:
        return
    reasons = dict.fromkeys(unanswered[kind] for kind in unanswerable.values())
    options = " ".join(f"--task {task.name}" for task in run_plan.judged_tasks if task.name not in unanswerable)
    fix = f"ask what it can answer: {options}" if options else "ask tasks whose answers are written"
    what = f"cannot be asked {some_of(list(unanswerable), MOST)}: {'; '.join(reasons)}"
    raise UsageError(checkpoint.name, what, f"{fix}; or use another server or engine")


def _fitted(checkpoint: Checkpoint, factory: PartialAnswers) -> Checkpoint:
    window = factory.window(checkpoint)
    return checkpoint if window is None else replace(checkpoint, window=window)
