"""Run one evaluation, from a job to its results.

The stages are: the plan (tasks, data, checkpoints), then prompts within one context window, then for each model the
proof that its adapter is applied, its answers and its measurements; at the end the analysis and the files. Each stage
has a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from evalharness import results
from evalharness.analysis.analyse import analyse
from evalharness.analysis.baseline import Baseline
from evalharness.analysis.baseline import baseline_outcomes as answered_before
from evalharness.checkpoints import memory
from evalharness.checkpoints.verified import verify_once
from evalharness.engines.adapter_check import Proof
from evalharness.engines.base import EngineFactory, errors_of, factory_of
from evalharness.engines.spreading import keep_engines
from evalharness.errors import ModelError, NotComparableError
from evalharness.interruption import stop_if_interrupted
from evalharness.records.job import Job
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo, engine_differences
from evalharness.records.requests import PreparedTask
from evalharness.records.results import Results
from evalharness.run.abilities import within_abilities
from evalharness.run.contamination import with_overlaps
from evalharness.run.decoding_rules import with_decoding_rules
from evalharness.run.drift import DriftRecorder
from evalharness.run.drift_sources import drift_sources, neutral_texts, tasks_to_answer
from evalharness.run.early_stopping import RoundsOfRun, check_early_stopping
from evalharness.run.engine_slot import EngineSlot
from evalharness.run.explain import check_base, with_explanation
from evalharness.run.measured_run import RunState, compare_plan, gather, notices_before
from evalharness.run.overlap_facts import write_overlap
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.prompts import make_prompts
from evalharness.run.run_log import RunLog, tell
from evalharness.run.session import RunContext, Session, turns
from evalharness.run.spread import answer_ahead
from evalharness.run.unchanged import without_effect
from evalharness.store import Store


def evaluate(
    job: Job, listener: ProgressListener | None = None, factory: EngineFactory | None = None, *, overlaps: bool = True
) -> Results:
    """Measure base and candidates on the same prompts, compare them, and write all files but the report page.

    The files go into the job's output folder. `factory` replaces the engine that `job.engine` names. `overlaps`:
    whether the training rows are searched for the run's questions; no verdict depends on that search.

    Raises EvalHarnessError for what the user can mend, before any answer is computed; what fails later is in
    `Results.errors`.
    """
    listener, run_log = listener or SilentListener(), RunLog()
    with memory.remember_in(memory.memory_path(job.output.store)):
        with run_log.timed("prepare"):
            listener.phase("reading tasks and checkpoints")
            run_plan = make_run_plan(job)
            run_plan = with_overlaps(job, run_plan) if overlaps else run_plan
        return carry_out(job, run_plan, listener, factory or factory_of(job.engine), run_log)


def carry_out(
    job: Job, run_plan: RunPlan, listener: ProgressListener, factory: EngineFactory, run_log: RunLog | None = None
) -> Results:
    """Do everything of a run that follows `make_run_plan`: prompts, proofs, answers, measurements, analysis, files."""
    run_log, out = run_log or RunLog(), job.output.folder
    with keep_engines(factory):
        with run_log.timed("prepare"):
            state, info, drift = _prepared(job, run_plan, listener, factory, run_log)
        base = state.run_plan.base
        opened = Store(job.output.store, lambda notice: tell([notice], listener, run_log))
        with opened as store, EngineSlot(factory, job.engine, info, run_log) as slot:
            context = RunContext(
                job=job, slot=slot, info=info, store=store, listener=listener, run_log=run_log, base=base
            )
            with run_log.timed("prove"):
                state, info = _proven(state, context)
            with run_log.timed("answer"), _as_incomplete():
                state = _answered(state, context, drift)
            if job.description.explain:
                with run_log.timed("explain"):
                    state = with_explanation(state, context)
        listener.phase("comparing")
        with run_log.timed("compare"):
            analysed = write_measured(job, state, drift.with_drift(gather(job, state, info)))
        results.write_run(out, {**run_log.facts(), "out": str(out), "store": str(job.output.store)})
        results.write_results(out, analysed)
        return results.read_results(out)


def _prepared(
    job: Job, run_plan: RunPlan, listener: ProgressListener, factory: EngineFactory, run_log: RunLog
) -> tuple[RunState, EngineInfo, DriftRecorder]:
    """Make the last checks and the prompts, and empty the output folder, all before the first answer."""
    out = job.output.folder
    neutral = neutral_texts(job, run_plan)
    check_base(job, run_plan)
    info = _one_engine(job, run_plan, factory)
    _verify(run_plan, listener, run_log)
    run_plan = within_abilities(run_plan, factory, job.description.measures_drift)
    run_plan = with_decoding_rules(run_plan, factory, job.engine.generation_config)
    check_early_stopping(job, run_plan)
    listener.phase("making prompts")
    base, prompts = run_plan.base, make_prompts(job, run_plan, factory)
    texts = drift_sources(job, run_plan, neutral, prompts, factory)
    run_plan, prompts = tasks_to_answer(job, run_plan, prompts)
    prepared = prompts.by_model[base.name]
    plan = compare_plan(job, run_plan, prepared)
    tell([*notices_before(run_plan, plan, prepared), *prompts.notices], listener, run_log)
    outcomes = _baseline_outcomes(job, base, prepared, info)
    results.forget_samples(out)
    results.open_folder(out)
    return RunState(run_plan, plan, prompts, outcomes), info, DriftRecorder(job, run_plan, texts)


def _baseline_outcomes(
    job: Job, base: Checkpoint | Baseline, prepared: Sequence[PreparedTask], info: EngineInfo
) -> dict[str, list[TaskOutcome]]:
    """Return the measurements of an earlier run's base if it replaces the base, else {}."""
    if not isinstance(base, Baseline):
        return {}
    return {base.name: answered_before(base, prepared, info, job.models.allow_mixed_engines)}


def write_measured(job: Job, state: RunState, run: MeasuredRun) -> Results:
    """Write the measurements and return their analysis. results.json is written last, by the caller."""
    base = state.run_plan.base
    results.write_measurements(job.output.folder, run)
    results.write_probes(job.output.folder, state.run_plan.probes)
    write_overlap(job.output.folder, state.run_plan, state.prompts.by_model[base.name])
    if isinstance(base, Baseline):
        for task, outcome in zip(state.prompts.by_model[base.name], state.outcomes[base.name], strict=True):
            results.write_samples(job.output.folder, task.task.name, base.name, outcome.samples)
    return analyse(run)


def _proven(state: RunState, context: RunContext) -> tuple[RunState, EngineInfo]:
    """Prove that the adapters are applied, and in a run in rounds prove every model; return the state and the engine
    info with what the proofs showed.
    """
    run_plan, by_model, in_rounds = state.run_plan, state.prompts.by_model, context.job.statistics.until_decided
    first = [checkpoint for checkpoint in turns(run_plan)[0] if checkpoint.adapter or in_rounds]
    every = {checkpoint.name: Session(context, checkpoint).prove(by_model[checkpoint.name]) for checkpoint in first}
    proofs = {name: proof for name, proof in every.items() if proof is not None}
    unchanged = {**run_plan.unchanged, **without_effect(run_plan.candidates, proofs)}
    info = replace(context.info, unproven=_unproven(run_plan, proofs))
    return state._replace(run_plan=replace(run_plan, unchanged=unchanged)), info


@contextmanager
def _as_incomplete() -> Iterator[None]:
    """Turn a ModelError into the error of an incomplete run: the checkpoints' files are verified by now."""
    try:
        yield
    except ModelError as error:
        raise NotComparableError(error.where, error.what, f"{error.fix}; what was answered is kept") from error


def _unproven(run_plan: RunPlan, proofs: Mapping[str, Proof]) -> tuple[str, ...]:
    """Name the models whose engine cannot prove that their adapters are applied."""
    adapters = [checkpoint.name for checkpoint in run_plan.checkpoints if checkpoint.adapter]
    return tuple(name for name in adapters if name in proofs and not proofs[name].available)


def _answered(state: RunState, context: RunContext, drifting: DriftRecorder) -> RunState:
    """Measure every checkpoint, one after another or all in rounds; the base's texts serve as drafts."""
    by_model, order = state.prompts.by_model, turns(state.run_plan)[1]
    context.listener.expect(sum(len(task.requests) for checkpoint in order for task in by_model[checkpoint.name]))
    rounds = (
        RoundsOfRun(context=context, run_plan=state.run_plan, prompts=state.prompts, plan=state.plan)
        if context.job.statistics.until_decided
        else None
    )
    if rounds is not None:
        rounds.ask(order, state.outcomes)
    else:
        answer_ahead(context, [(checkpoint, by_model[checkpoint.name]) for checkpoint in order])
    outcomes = dict(state.outcomes)
    for checkpoint in order:
        session = Session(context, checkpoint)
        if not (checkpoint.adapter or rounds):  # full weights are proven when they are in memory for their answers
            session.prove(by_model[checkpoint.name])
        outcomes[checkpoint.name] = rounds.measured(session) if rounds else session.measure(by_model[checkpoint.name])
        drifting.follow(session)
    return state._replace(outcomes={name: outcomes[name] for name in by_model})


def _verify(run_plan: RunPlan, listener: ProgressListener, run_log: RunLog) -> None:
    for checkpoint in run_plan.checkpoints:
        stop_if_interrupted()
        if checkpoint in run_plan.references:
            continue  # the base's weights again
        listener.phase(f"verifying {checkpoint.name}")
        tell(verify_once(checkpoint), listener, run_log)  # each begins with the name


def _one_engine(job: Job, run_plan: RunPlan, factory: EngineFactory) -> EngineInfo:
    with errors_of(type(factory).__name__, "describe"):
        described = [factory.describe(checkpoint, job.engine) for checkpoint in run_plan.checkpoints]
    first, names = described[0], [checkpoint.name for checkpoint in run_plan.checkpoints]
    for name, info in zip(names, described, strict=True):
        if info.fingerprint != first.fingerprint:
            differ = engine_differences(first.signature, info.signature)
            what = f"{names[0]} and {name} would be answered in different ways ({names[0]} is there: {differ})"
            fix = "use one engine, device and dtype for all; `evalharness engine check` says how far two are apart"
            raise NotComparableError("engine", what, fix)
    return first
