"""Repair a candidate: go back part of the way to its base.

How far is chosen on some rows and confirmed on others: two halves of the rows, or two splits.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness import fingerprint, results
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import EngineFactory, factory_of
from evalharness.engines.spreading import keep_engines
from evalharness.errors import UsageError, some_of
from evalharness.experiments.halves import HALF_A, HALF_B, halves_of
from evalharness.experiments.jobs import RepairJob
from evalharness.experiments.repair_blocks import with_blocks
from evalharness.experiments.repair_rules import WORDS, RepairRule, choose, next_scale, reason_against
from evalharness.experiments.setting import difference, rows_digest, setting_of
from evalharness.experiments.whole_run import evaluate_whole
from evalharness.merging.parents import Parents
from evalharness.merging.part_way import blocks_of, ends_of, part_way
from evalharness.records.comparison import Estimate
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.models import NO_TARGET
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.report.repair import REPAIR, PathPoint, Repair
from evalharness.report.sweep import outcome_of
from evalharness.run.contamination import stated_sources
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.tasks.library import Library

CANDIDATE, PATH, ROWS, HALF, SPLIT = "candidate", "path", "rows", "half-a", "choosing"
SUFFIX = "-repaired"
NONE_HELPS = "no part of the way that was looked at ({scales}) qualifies by the rule"
NOTHING = Estimate(value=0.0, low=0.0, high=0.0)
SAME_JOB = (
    *("candidate_fingerprint", "base_fingerprint", "target", "suite", "seed", "limit"),
    *("rule", "block_count", "choose_split", "setting", "rows"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A repair whose options are checked.

    `choosing`, `confirming`: the candidate's evaluations on the rows to choose on, and on those that confirm. `ends`:
    the base and the candidate. `repair`: the record so far.
    """

    choosing: Job
    confirming: Job
    ends: Parents
    repair: Repair
    listener: ProgressListener
    factory: EngineFactory

    @property
    def out(self) -> Path:
        return self.confirming.output.folder


def run_repair(
    repair_job: RepairJob, listener: ProgressListener | None = None, factory: EngineFactory | None = None
) -> tuple[Repair, Results | None]:
    """Choose a model between base and candidate on some rows; compare it and the candidate with their base on other
    rows.

    The results are None if no part of the way helps. The job's output folder gets repair.json, the repaired candidate,
    and the files of a run. After an interruption, a second call answers nothing twice.

    Raises EvalHarnessError; for wrong options before any answer is computed.
    """
    plan = _planned(repair_job, listener or SilentListener(), factory or factory_of(repair_job.job.engine))
    with keep_engines(plan.factory):
        repair = _choose(plan)
        if repair.chosen is None:
            return repair, None
        plan.listener.phase(f"base, candidate and repaired candidate on {repair.confirmed_on}")
        both = (*plan.confirming.models.candidates, f"{repair.candidate}{SUFFIX}={plan.out / CANDIDATE}")
        compared = evaluate(job_with(plan.confirming, models=both), plan.listener, plan.factory)
        write(plan.out)
        return repair, compared


def chosen_repair(repair_job: RepairJob, listener: ProgressListener) -> Repair:
    """Choose a model as `run_repair` does, without the comparison. If a part of the way helps, the repaired candidate
    is in `candidate` of the job's output folder, beside repair.json.
    """
    return _choose(_planned(repair_job, listener, factory_of(repair_job.job.engine)))


def _choose(plan: _Plan) -> Repair:
    """Search on the rows to choose on, and write the chosen model and repair.json."""
    repair = _searched(plan)
    if repair.chosen is not None:
        record = {"lambda": repair.chosen, "rule": repair.rule, "rule_words": repair.rule_words, "rows": repair.rows_a}
        path = _write_part(plan, repair.chosen_blocks or (repair.chosen,), plan.out / CANDIDATE, record)
        repair = replace(repair, repaired=recognise(str(path)).fingerprint)
    REPAIR.write(plan.out, repair)
    return repair


# ---- before any answer is computed -----------------------------------------------------------------------------------


def _planned(repair_job: RepairJob, listener: ProgressListener, factory: EngineFactory) -> _Plan:
    """Check the candidate, its path, its target, the rows and the folder before any answer."""
    _check_options(repair_job.job)
    listener.phase("reading tasks and checkpoints")
    ends = ends_of(repair_job.job.models.candidates[0], repair_job.job.models.base)
    job = _with_target(repair_job.job, ends)
    run_plan, out = make_run_plan(job), job.output.folder
    repair = _described(repair_job, job, run_plan, ends)
    choosing, confirming = job, job
    if repair_job.choose_split:
        choosing = job_with(job, split=repair_job.choose_split)
        choosing_plan = _plan_to_choose_on(choosing, run_plan)
        rows = fingerprint.of_value([rows_digest(choosing_plan), repair.rows])
        repair = replace(repair, rows=rows, rows_a=_rows(choosing_plan), rows_b=_rows(run_plan))
    _take_folder(out, repair, repair_job.replaces)
    if not repair_job.choose_split:
        trained = {source.name for source in stated_sources(ends.checkpoints[0])[0]}
        halves = halves_of(run_plan, trained, out / ROWS, job.statistics.seed)
        choosing, confirming = halves.job(job, HALF_A), halves.job(job, HALF_B)
        repair = replace(repair, rows_a=halves.rows_a, rows_b=halves.rows_b)
    return _Plan(choosing=choosing, confirming=confirming, ends=ends, repair=repair, listener=listener, factory=factory)


def _with_target(job: Job, ends: Parents) -> Job:
    """Add the names of the base and the target to the job. Raises UsageError if the target is not known."""
    candidate = ends.checkpoints[0]
    target = job.models.target or candidate.target_task
    if target in (None, NO_TARGET):
        what = "its target is not known" if target is None else "it has no target, whose gain could be kept"
        raise UsageError(job.models.candidates[0], what, "name the task that it was trained for with --target TASK")
    return job_with(
        job,
        models=(f"{candidate.name}={candidate.path}",),
        base=job.models.base or str(ends.base.path),
        target=Library(job.tasks.include).task(str(target)).name,
        targets={},
        train_data={"" if of == candidate.name else of: path for of, path in job.models.train_data.items()},
    )


def _plan_to_choose_on(choosing: Job, confirming: RunPlan) -> RunPlan:
    """Plan the evaluation on the split to choose on. Raises UsageError if it is the one that confirms."""
    split = str(choosing.tasks.split)
    same = [task.name for task in confirming.judged_tasks if split == (confirming.split or task.evaluation_split)]
    if same:
        what = f"the verdict on {some_of(same, 1)} is over the split {split!r}, too"
        raise UsageError("--choose-split", what, "name another, or leave it out: then halves are drawn")
    return make_run_plan(choosing)


def _rows(run_plan: RunPlan) -> int:
    return sum(len(run_plan.rows_of(task)) for task in run_plan.judged_tasks)


def _described(repair_job: RepairJob, job: Job, run_plan: RunPlan, ends: Parents) -> Repair:
    """Make the record of a repair before it starts."""
    rule, layers = repair_job.rule, blocks_of(ends.checkpoints[0], repair_job.blocks).layer_names()
    return Repair(
        candidate=ends.checkpoints[0].name,
        candidate_fingerprint=ends.checkpoints[0].fingerprint,
        base=run_plan.base.name,
        base_fingerprint=ends.base.fingerprint,
        target=str(job.models.target),
        suite=job.tasks.suite or ", ".join(job.tasks.names),
        seed=job.statistics.seed,
        limit=run_plan.limit,
        rule=rule,
        rule_words=WORDS[rule],
        rows_a=0,
        rows_b=0,
        setting=setting_of(job, run_plan),
        rows=rows_digest(run_plan),
        block_count=len(layers),
        block_layers=layers if len(layers) > 1 else (),
        choose_split=repair_job.choose_split or "",
    )


def _check_options(job: Job) -> None:
    models = job.models.candidates
    if len(models) != 1 or parse(models[0]).names_several:
        raise UsageError("repair", f"{len(models) or 'no'} candidates", "name one candidate")
    without = {
        "--baseline": job.models.baseline,
        "--until-decided": job.statistics.until_decided,
        "--template": job.tasks.templates,
        "--precision": job.models.precision,
        "--placebo": job.models.placebo,
        "--target": job.models.targets,
        "--drift-only": job.description.drift_only,
    }
    for option, value in without.items():
        if value:
            raise UsageError(option, "a repair does not take it", "leave it out; of --target give the task alone")


def _take_folder(out: Path, repair: Repair, replaces: bool) -> None:
    """Remove another repair from the folder if this one `replaces` it. Raises UsageError if another repair or another
    run would be lost.
    """
    before = REPAIR.read(out)
    other = "" if before is None else difference(before, repair, SAME_JOB)
    if other and replaces:
        shutil.rmtree(out)
    elif other:
        raise UsageError("--out", f"{out} holds a repair {other}", "name another folder")
    elif before is None and ((out / results.RESULTS).exists() or (out / CANDIDATE).exists()):
        raise UsageError("--out", f"{out} holds something else than a repair", "name another folder")


# ---- on the rows that choose -----------------------------------------------------------------------------------------


def _searched(plan: _Plan) -> Repair:
    """Measure the candidate, then parts of the way as long as the rule names a next one; return the repair with the
    choice, or with the reason why there is none.
    """
    repair = plan.repair
    rule = RepairRule(repair.rule)
    REPAIR.write(plan.out, repair)
    base = PathPoint(scale=0.0, gain=NOTHING, suite=NOTHING, fingerprint=plan.ends.base.fingerprint)
    whole = _measured(plan, plan.choosing, repair.candidate, (1.0,))
    points: tuple[PathPoint, ...] = (base, whole)
    if reason := reason_against(rule, whole):
        return replace(repair, points=points, reason=reason)
    while (scale := next_scale(rule, points)) is not None:
        point = _part_measured(plan, f"lambda-{scale:g}", (scale,))
        points = tuple(sorted((*points, point), key=lambda point: point.scale))
        REPAIR.write(plan.out, replace(repair, points=points))
    choice = choose(rule, points)
    if choice is None:
        scales = ", ".join(f"{point.scale:g}" for point in points if 0 < point.scale < 1)
        return replace(repair, points=points, reason=NONE_HELPS.format(scales=scales))
    repair = replace(repair, points=points, chosen=choice.scale)
    return with_blocks(repair, lambda number, scales: _part_measured(plan, f"blocks-{number}", scales))


def _part_measured(plan: _Plan, name: str, scales: Sequence[float]) -> PathPoint:
    """Write, measure and remove the model at one λ (part of the way from base to candidate), or at one λ for each
    block.
    """
    record: dict[str, object] = {"lambda": scales[0] if len(scales) == 1 else list(scales), "rule": plan.repair.rule}
    path = _write_part(plan, scales, plan.out / PATH / name, record)
    job = job_with(plan.choosing, models=(f"{path.name}={path}",), allow_noop=True)
    point = _measured(plan, job, path.name, scales)
    shutil.rmtree(path)
    return point


def _measured(plan: _Plan, job: Job, name: str, scales: Sequence[float]) -> PathPoint:
    """Measure one model on the rows to choose on. Raises NotComparableError if an answer is missing."""
    plan.listener.phase(f"λ = {_words(scales)} on {plan.repair.chosen_on}")
    looks = plan.out / (SPLIT if plan.repair.choose_split else HALF)
    folder = looks / ("lambda-1" if name == plan.repair.candidate else name)
    quiet = job_with(job, out=folder, describe=(), explain=False, drift=False)
    measured = evaluate_whole(quiet, name, plan.listener, plan.factory, overlaps=False)
    outcome = outcome_of(measured, name, plan.repair.target)
    model = next(model for model in measured.models if model.name == name)
    return PathPoint(scale=scales[0], gain=outcome.gain, suite=outcome.suite, fingerprint=model.fingerprint)


def _write_part(plan: _Plan, scales: Sequence[float], path: Path, record: dict[str, object]) -> Path:
    """Write the model at λ = `scales`; what an earlier call left there is replaced."""
    if path.exists():
        shutil.rmtree(path)
    plan.listener.phase(f"writing the model at λ = {_words(scales)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return part_way(plan.ends, scales, path.resolve(), {"target_task": plan.repair.target, "repair": record})


def _words(scales: Sequence[float]) -> str:
    return ", ".join(f"{scale:g}" for scale in scales)
