"""A Job to Results: the whole story of a run. Everything it decides is decided in a stage below.

job → contest (tasks, data, checkpoints) → prompts within one window → per model: prove · collect · measure → compare → files
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalharness import engines, registry, results
from evalharness.checkpoints.verify import verify
from evalharness.engines.base import EngineFactory
from evalharness.errors import NotComparableError
from evalharness.measure import Measured
from evalharness.pipeline.assemble import Contest, assemble
from evalharness.pipeline.baseline import Baseline
from evalharness.pipeline.baseline import measured as answered_before
from evalharness.pipeline.conclude import announced, conclude, planned
from evalharness.pipeline.contaminated import with_overlaps
from evalharness.pipeline.drifting import Drifting, neutral_texts
from evalharness.pipeline.explain import Round, check_base, explained
from evalharness.pipeline.prompts import make_prompts
from evalharness.pipeline.rounds import Rounds, check
from evalharness.pipeline.seat import Seat, turns
from evalharness.pipeline.session import Desk, Session
from evalharness.pipeline.watch import Ledger, Quiet, Watcher, tell
from evalharness.records.findings import Results
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.store import Store


def evaluate(job: Job, watcher: Watcher | None = None, factory: EngineFactory | None = None) -> Results:
    """Measure base and candidates on the same prompts, compare them, and leave everything but the page in `job.out`.

    Raises EvalHarnessError for what the user can mend, before any answer is computed; what fails later is in `Results.troubles`.
    `factory` stands in for the engine that `job.settings` names.
    """
    watcher, ledger = watcher or Quiet(), Ledger()
    factory = factory or registry.find(engines.KNOWN, job.settings.engine, "engine")
    with ledger.timed("prepare"):
        watcher.phase("reading tasks and checkpoints")
        contest = with_overlaps(job, assemble(job))
    return settle(job, contest, watcher, factory, ledger)


def settle(job: Job, contest: Contest, watcher: Watcher, factory: EngineFactory, ledger: Ledger | None = None) -> Results:
    """All of a run after `assemble`, for whoever brings a contest of its own."""
    ledger = ledger or Ledger()
    with ledger.timed("prepare"):
        neutral = neutral_texts(job, contest)
        check_base(job, contest)
        _verify(contest, watcher, ledger)
        check(job, contest)
        watcher.phase("making prompts")
        prompts = make_prompts(job, contest, factory)
        asked = prompts.by_model[contest.base.name]
        plan, info = planned(job, contest, asked), _one_engine(job, contest, factory)
        tell([*announced(contest, plan, asked), *prompts.notices], watcher, ledger)
        measured = {contest.base.name: answered_before(contest.base, asked, info)} if isinstance(contest.base, Baseline) else {}
        results.forget_samples(job.out)
        results.open_folder(job.out)
    to_prove, to_measure = turns(contest)
    drifting = Drifting(job, contest, prompts, neutral)
    with Store(job.store) as store, Seat(factory, job.settings, ledger) as seat:
        desk = Desk(job, seat, info, store, watcher, ledger)
        with ledger.timed("prove"):
            for checkpoint in to_prove:
                Session(desk, checkpoint).prove(prompts.by_model[checkpoint.name])
        watcher.expect(sum(len(task.requests) for checkpoint in contest.checkpoints for task in prompts.by_model[checkpoint.name]))
        with ledger.timed("answer"):
            first = Round(contest, plan, prompts, measured)
            measured = {**measured, **_answered(first, desk, to_measure, drifting)}
        if job.explain:
            with ledger.timed("explain"):
                contest, plan, prompts, measured = explained(first._replace(measured=measured), desk)
    if isinstance(contest.base, Baseline):
        for task, found in zip(prompts.by_model[contest.base.name], measured[contest.base.name], strict=True):
            results.write_samples(job.out, task.task.name, contest.base.name, found.samples)
    watcher.phase("comparing")
    with ledger.timed("compare"):
        measured = {name: measured[name] for name in prompts.by_model}
        concluded = replace(conclude(job, contest, plan, prompts, measured, info), drift=drifting.found())
    results.write_run(job.out, {**ledger.facts(), "out": str(job.out), "store": str(job.store)})
    results.write_results(job.out, concluded)
    return results.read_results(job.out)


def _answered(first: Round, desk: Desk, order: Sequence[Checkpoint], drifting: Drifting) -> dict[str, list[Measured]]:
    """Everything that was measured of every checkpoint, in their order; asked one after another, or in rounds side by side."""
    rounds = Rounds(desk, first.contest, first.prompts, first.plan) if desk.job.until_decided else None
    if rounds is not None:
        rounds.ask(order, first.measured)
    found = {}
    for checkpoint in order:
        session = Session(desk, checkpoint)
        found[checkpoint.name] = rounds.measured(session) if rounds else session.measure(first.prompts.by_model[checkpoint.name])
        drifting.follow(session)
    return found


def _verify(contest: Contest, watcher: Watcher, ledger: Ledger) -> None:
    for checkpoint in contest.checkpoints:
        if checkpoint in contest.references:
            continue  # the base's weights again
        watcher.phase(f"verifying {checkpoint.name}")
        tell([f"{checkpoint.name}: {notice}" for notice in verify(checkpoint)], watcher, ledger)


def _one_engine(job: Job, contest: Contest, factory: EngineFactory) -> EngineInfo:
    infos = {info.fingerprint: info for info in (factory.describe(checkpoint, job.settings) for checkpoint in contest.checkpoints)}
    if len(infos) > 1:
        raise NotComparableError("engine", "base and candidates would be answered in different ways", "use one engine, device and dtype for all")
    return next(iter(infos.values()))
