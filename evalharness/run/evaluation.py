"""A Job to Results: the whole story of a run. Everything it decides is decided in a stage below.

job → run_plan (tasks, data, checkpoints) → prompts within one window → per model: prove · collect · measure → compare →
files
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalharness import results
from evalharness.analysis.baseline import Baseline
from evalharness.analysis.baseline import measured as answered_before
from evalharness.checkpoints.verify import verify
from evalharness.engines.base import EngineFactory, factory_of
from evalharness.errors import NotComparableError
from evalharness.records.job import Job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.records.results import Results
from evalharness.run.conclude import announced, conclude, planned
from evalharness.run.contamination import with_overlaps
from evalharness.run.drift import DriftRecorder, neutral_texts
from evalharness.run.early_stopping import EarlyStopping, check
from evalharness.run.explain import RunState, check_base, explained
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.prompts import make_prompts
from evalharness.run.run_log import RunLog, tell
from evalharness.run.session import EngineSlot, RunContext, Session, turns
from evalharness.store import Store


def evaluate(job: Job, listener: ProgressListener | None = None, factory: EngineFactory | None = None) -> Results:
    """Measure base and candidates on the same prompts, compare them, and leave everything but the page in `job.out`.

    Raises EvalHarnessError for what the user can mend, before any answer is computed; what fails later is in
    `Results.errors`. `factory` stands in for the engine that `job.settings` names.
    """
    listener, run_log = listener or SilentListener(), RunLog()
    factory = factory or factory_of(job.settings)
    with run_log.timed("prepare"):
        listener.phase("reading tasks and checkpoints")
        run_plan = with_overlaps(job, make_run_plan(job))
    return settle(job, run_plan, listener, factory, run_log)


def settle(
    job: Job, run_plan: RunPlan, listener: ProgressListener, factory: EngineFactory, run_log: RunLog | None = None
) -> Results:
    """All of a run after `make_run_plan`, for whoever brings a run_plan of its own."""
    run_log = run_log or RunLog()
    with run_log.timed("prepare"):
        neutral = neutral_texts(job, run_plan)
        check_base(job, run_plan)
        _verify(run_plan, listener, run_log)
        check(job, run_plan)
        listener.phase("making prompts")
        prompts = make_prompts(job, run_plan, factory)
        asked = prompts.by_model[run_plan.base.name]
        plan, info = planned(job, run_plan, asked), _one_engine(job, run_plan, factory)
        tell([*announced(run_plan, plan, asked), *prompts.notices], listener, run_log)
        measured = (
            {run_plan.base.name: answered_before(run_plan.base, asked, info)}
            if isinstance(run_plan.base, Baseline)
            else {}
        )
        results.forget_samples(job.out)
        results.open_folder(job.out)
    to_prove, to_measure = turns(run_plan)
    drifting = DriftRecorder(job, run_plan, prompts, neutral)
    with Store(job.store) as store, EngineSlot(factory, job.settings, run_log) as slot:
        context = RunContext(job, slot, info, store, listener, run_log)
        with run_log.timed("prove"):
            proven = {c.name: Session(context, c).prove(prompts.by_model[c.name]) for c in to_prove}
            info = replace(info, unproven=tuple(c.name for c in run_plan.checkpoints if not proven[c.name]))
        listener.expect(
            sum(len(task.requests) for checkpoint in run_plan.checkpoints for task in prompts.by_model[checkpoint.name])
        )
        with run_log.timed("answer"):
            first = RunState(run_plan, plan, prompts, measured)
            measured = {**measured, **_answered(first, context, to_measure, drifting)}
        if job.explain:
            with run_log.timed("explain"):
                run_plan, plan, prompts, measured = explained(first._replace(measured=measured), context)
    if isinstance(run_plan.base, Baseline):
        for task, found in zip(prompts.by_model[run_plan.base.name], measured[run_plan.base.name], strict=True):
            results.write_samples(job.out, task.task.name, run_plan.base.name, found.samples)
    listener.phase("comparing")
    with run_log.timed("compare"):
        measured = {name: measured[name] for name in prompts.by_model}
        concluded = replace(conclude(job, run_plan, plan, prompts, measured, info), drift=drifting.found())
    results.write_run(job.out, {**run_log.facts(), "out": str(job.out), "store": str(job.store)})
    results.write_results(job.out, concluded)
    return results.read_results(job.out)


def _answered(
    first: RunState, context: RunContext, order: Sequence[Checkpoint], drifting: DriftRecorder
) -> dict[str, list[TaskOutcome]]:
    """Everything that was measured of every checkpoint, in their order; asked one after another, or in rounds side by
    side.
    """
    rounds = EarlyStopping(context, first.run_plan, first.prompts, first.plan) if context.job.until_decided else None
    if rounds is not None:
        rounds.ask(order, first.measured)
    found = {}
    for checkpoint in order:
        session = Session(context, checkpoint)
        found[checkpoint.name] = (
            rounds.measured(session) if rounds else session.measure(first.prompts.by_model[checkpoint.name])
        )
        drifting.follow(session)
    return found


def _verify(run_plan: RunPlan, listener: ProgressListener, run_log: RunLog) -> None:
    for checkpoint in run_plan.checkpoints:
        if checkpoint in run_plan.references:
            continue  # the base's weights again
        listener.phase(f"verifying {checkpoint.name}")
        tell([f"{checkpoint.name}: {notice}" for notice in verify(checkpoint)], listener, run_log)


def _one_engine(job: Job, run_plan: RunPlan, factory: EngineFactory) -> EngineInfo:
    infos = {
        info.fingerprint: info
        for info in (factory.describe(checkpoint, job.settings) for checkpoint in run_plan.checkpoints)
    }
    if len(infos) > 1:
        raise NotComparableError(
            "engine",
            "base and candidates would be answered in different ways",
            "use one engine, device and dtype for all",
        )
    return next(iter(infos.values()))
