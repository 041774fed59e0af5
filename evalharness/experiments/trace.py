"""Measure the stages of a training (several trainings in a row), and follow what each learned and forgot."""

from __future__ import annotations

from dataclasses import replace

from evalharness.checkpoints.naming import parse
from evalharness.engines.base import EngineFactory, factory_of
from evalharness.errors import UsageError, did_you_mean
from evalharness.experiments.continual_measures import Track
from evalharness.experiments.continual_metrics import stages_of
from evalharness.experiments.jobs import TraceJob
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.report.stages import STAGES, Stages
from evalharness.run.contamination import with_overlaps
from evalharness.run.evaluation import carry_out
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.run_log import RunLog, tell


def run_trace(
    trace_job: TraceJob, listener: ProgressListener | None = None, factory: EngineFactory | None = None
) -> tuple[Stages, Results]:
    """Measure base and stages on the same questions, and follow every task through them.

    Writes the files of a run, its report page and stages.json into the job's output folder. After an interruption, a
    second call answers nothing twice. Raises EvalHarnessError for wrong options before any answer is computed.
    """
    listener, run_log = listener or SilentListener(), RunLog()
    job, beside = _job(trace_job)
    factory = factory or factory_of(job.engine)
    with run_log.timed("prepare"):
        listener.phase("reading tasks and checkpoints")
        run_plan = make_run_plan(job)
        run_plan, track = _tracked(trace_job, run_plan, beside)
        run_plan = with_overlaps(job, run_plan)
        tell(_unmeasured(run_plan, track), listener, run_log)
    out = job.output.folder
    (out / STAGES.name).unlink(missing_ok=True)
    results_of_run = carry_out(job, run_plan, listener, factory, run_log)
    listener.phase("over the stages")
    stages = stages_of(out, track)
    STAGES.write(out, stages)
    write(out)
    return stages, results_of_run


def _job(trace_job: TraceJob) -> tuple[Job, tuple[str, ...]]:
    """Make the run's job, and return which of joint and fresh are its last models."""
    if not trace_job.job.models.candidates:
        fix = "name them in order with --stage [NAME=]PATH, or --model 'DIR/*' for checkpoint-N folders"
        raise UsageError("trace", "no stage", fix)
    if trace_job.job.statistics.until_decided:
        raise UsageError("trace", "stages that are stopped early are not all asked the same", "leave until_decided out")
    beside = {key: text for key, text in (("joint", trace_job.joint), ("fresh", trace_job.fresh)) if text is not None}
    for key, text in beside.items():
        if parse(text).names_several:
            raise UsageError(f"--{key}", f"{text!r} is several checkpoints", "name one")
    others = tuple(text if parse(text).name else f"{key}={text}" for key, text in beside.items())
    tasks = dict.fromkeys([*trace_job.job.tasks.names, *(task for of in trace_job.learned.values() for task in of)])
    models = (*trace_job.job.models.candidates, *others)
    return job_with(trace_job.job, models=models, tasks=tuple(tasks)), tuple(beside)


def _tracked(trace_job: TraceJob, run_plan: RunPlan, beside: tuple[str, ...]) -> tuple[RunPlan, Track]:
    """Set in the plan what each stage learned as its target; also return the stages by name."""
    cut = len(run_plan.candidates) - len(beside)
    stages, others = run_plan.candidates[:cut], run_plan.candidates[cut:]
    names = [stage.name for stage in stages]
    for name in trace_job.learned:
        if name not in names:
            raise UsageError("--learned", f"no stage {name!r}", did_you_mean(name, names))
    learned = {
        stage.name: trace_job.learned.get(stage.name, (stage.target_task,) if stage.target_task else ())
        for stage in stages
    }
    stages = tuple(replace(stage, target_task=next(iter(learned[stage.name]), None)) for stage in stages)
    by_kind = dict(zip(beside, (other.name for other in others), strict=True))
    track = Track(
        base=run_plan.base.name,
        stages=tuple(names),
        learned=learned,
        joint=by_kind.get("joint"),
        fresh=by_kind.get("fresh"),
    )
    return replace(run_plan, candidates=(*stages, *others)), track


def _unmeasured(run_plan: RunPlan, track: Track) -> list[str]:
    """Return a notice for each task that a stage learned and whose rows are missing."""
    measured = {task.name for task in run_plan.tasks} | {group.name for group in run_plan.groups}
    lacking = [(stage, task) for stage, of in track.learned.items() for task in of if task not in measured]
    return [f"{task}, which {stage} learned, is not measured: its rows are not at hand" for stage, task in lacking]
