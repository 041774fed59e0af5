"""Plan a run: find and check the tasks, their data, the base and the candidates before any answer is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalharness.analysis.baseline import Baseline
from evalharness.analysis.margins import check_names, names_of
from evalharness.analysis.overlap import TrainingOverlap
from evalharness.checkpoints.discover import base_of, expand_all
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import recognise_candidates, recognise_model
from evalharness.data.files import DataRow
from evalharness.data.grouping import group_rows
from evalharness.data.sources import DataSource, check_overrides, missing, read_rows
from evalharness.engines.openai.options import limits_of_run
from evalharness.errors import TaskError, UsageError, did_you_mean, some_of
from evalharness.interruption import stop_if_interrupted
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.models import NO_TARGET, Checkpoint
from evalharness.records.policy import OPTION
from evalharness.records.probe_answers import ProbeAnswers
from evalharness.records.tasks import Group, Suite, Task, Variant
from evalharness.results.files import check_file_names
from evalharness.run.engine_fit import check_engine_fits
from evalharness.run.plan_baseline import from_baseline
from evalharness.run.reference_models import at_one_precision, check_architectures, references_of
from evalharness.run.rows_check import check_present, source_of
from evalharness.run.unchanged import copies_of
from evalharness.run.variants import choose, ways_of
from evalharness.tasks.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The tasks, data and models of one run, after every check.

    Variants of tasks (other prompts or metrics that only describe) are among `tasks` and `groups`. `computed`: name ->
    variant that is computed from the answers to others. `source`: finds the rows. `unchanged`: candidate -> how it
    equals its base. `decoded_otherwise`: the models that are decoded by other rules than the base. `references`: models
    measured beside the candidates, and not judged. `overlaps`: candidate -> the questions that it saw in training, if
    known.
    """

    tasks: tuple[Task, ...]
    suite: Suite | None
    groups: tuple[Group, ...]
    base: Checkpoint | Baseline
    candidates: tuple[Checkpoint, ...]
    source: DataSource
    split: str | None  # evaluated instead of each task's own
    limit: int | None  # examples a task, of the job, else of the suite
    num_fewshot: int | None  # instead of each task's own
    limits: Mapping[str, int] = field(default_factory=dict)  # of single tasks
    fewshots: Mapping[str, int] = field(default_factory=dict)
    computed: Mapping[str, Variant] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    references: tuple[Checkpoint, ...] = ()  # measured beside the candidates, compared, and never judged
    decoded_otherwise: tuple[str, ...] = ()  # candidates whose answers are decoded by other rules than the base's
    unchanged: Mapping[str, str] = field(default_factory=dict)  # candidates that are their base over again, and how
    # by candidate, where its training rows are known:
    overlaps: Mapping[str, TrainingOverlap] = field(default_factory=dict)

    def limit_of(self, task: Task) -> int | None:
        return self.limits.get(task.origin, self.limits.get(task.variant_of or "", self.limit))

    def shots_of(self, task: Task) -> int | None:
        return self.fewshots.get(task.origin, self.fewshots.get(task.variant_of or "", self.num_fewshot))

    def rows_of(self, task: Task) -> tuple[DataRow, ...]:
        """Read the rows that are evaluated of a task. Raises DataError."""
        return _rows_of(task, self.source, self.split)

    @property
    def probes(self) -> dict[str, ProbeAnswers]:
        """Return the answers of served models to the probes (fixed prompts), by fingerprint; a base's also from an
        earlier run.
        """
        answers = {each.fingerprint: each.probes for each in self.checkpoints if each.probes is not None}
        if isinstance(self.base, Baseline) and self.base.probes is not None:
            answers[self.base.row.fingerprint] = self.base.probes
        return answers

    @property
    def tasks_and_groups(self) -> tuple[Task | Group, ...]:
        return (*self.tasks, *self.groups)

    @property
    def judged_tasks(self) -> tuple[Task, ...]:
        """Return the tasks without the variants that only describe."""
        return tuple(task for task in self.tasks if not task.beside)

    @property
    def renamed(self) -> Mapping[str, str]:
        """Return original name -> name in this run, of the tasks that `--template` renamed."""
        return {task.origin: task.name for task in self.judged_tasks if task.variant}

    @property
    def precision(self) -> str:
        """Return the precision at which base and candidates answer; "" if nothing is quantised."""
        return (self.base if isinstance(self.base, Checkpoint) else self.candidates[0]).precision

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return every checkpoint that answers: the base (unless an earlier run answered for it), candidates,
        references.
        """
        base = (self.base,) if isinstance(self.base, Checkpoint) else ()
        return (*base, *self.candidates, *self.references)


def make_run_plan(job: Job) -> RunPlan:
    """Make the plan of a job. Raises EvalHarnessError naming what is wrong with which task, data or
    checkpoint.
    """
    ways_of(job)
    check_engine_fits(job)
    job = job_with(job, models=expand_all(job.models.candidates))
    selection = _named_tasks(job)
    if not job.models.candidates:
        raise UsageError("run", "no candidate to evaluate", "name one or more with --model [NAME=]PATH")
    _check_candidates(job)
    check_present(job, selection.library)
    base, candidates = from_baseline(job, job.models.baseline) if job.models.baseline else _with_base(job)
    _check_names([base.name, *(candidate.name for candidate in candidates)])
    references = references_of(job.models, base, candidates) if isinstance(base, Checkpoint) else _no_placebo(job)
    unchanged, notices = copies_of(base, candidates, job.models.allow_noop)
    run_plan = _plan(job, selection, base, candidates)
    if isinstance(base, Baseline) and base.packed:
        run_plan = only_deciding(run_plan, base)
    return replace(run_plan, references=references, unchanged=unchanged, notices=(*run_plan.notices, *notices))


def only_deciding(run_plan: RunPlan, base: Baseline) -> RunPlan:
    """Drop the metrics whose scores a baseline file does not hold: all but those that decide verdicts."""
    tasks, left_out = list[Task](), list[str]()
    for task in run_plan.tasks:
        scored = base.tasks[task.name].measurements if task.name in base.tasks else {}
        metrics = tuple(spec for spec in task.metrics if spec.id in scored or spec.id == task.primary)
        left_out += [f"{spec.id} of {task.name}" for spec in task.metrics if spec not in metrics]
        tasks.append(replace(task, metrics=metrics))
    ids = {spec.id for task in tasks for spec in task.metrics}
    groups = (replace(group, also=tuple(each for each in group.also if each in ids)) for group in run_plan.groups)
    what = f"the baseline file holds the metrics that decide; left out: {some_of(left_out, 3)}"
    notices = (*run_plan.notices, *([what] if left_out else []))
    return replace(run_plan, tasks=tuple(tasks), groups=tuple(groups), notices=notices)


def plan_without_candidates(job: Job, base: Checkpoint) -> RunPlan:
    """Make the plan of a job that has no candidates yet. Raises EvalHarnessError as `make_run_plan` does."""
    return _plan(job, _named_tasks(job), base, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedTasks:
    """The tasks and groups of the library that a job names."""

    library: Library
    suite: Suite | None
    groups: tuple[Group, ...]
    names: tuple[str, ...]


def _named_tasks(job: Job) -> _NamedTasks:
    library = Library(job.tasks.include)
    suite = library.suite(job.tasks.suite) if job.tasks.suite else None
    groups = suite.groups if suite else tuple(library.group(name) for name in job.tasks.names if library.is_group(name))
    names = tuple(
        dict.fromkeys([*(suite.tasks if suite else ()), *(task.name for task in library.select(job.tasks.names))])
    )
    if not names:
        raise UsageError("run", "no task to evaluate", "name a --suite or one or more --task")
    return _NamedTasks(library=library, suite=suite, groups=groups, names=names)


def _plan(job: Job, selection: _NamedTasks, base: Checkpoint | Baseline, candidates: Sequence[Checkpoint]) -> RunPlan:
    """Find the tasks and their data for these models."""
    library, suite = selection.library, selection.suite
    source = source_of(job, suite)
    split = job.tasks.split or (suite.split if suite else None)
    tasks = [library.task(name) for name in selection.names]
    tasks += [
        task
        for task in _targets(job, candidates, library)
        if task.name in job.models.stated_targets or missing([task], source, split) is None
    ]
    tasks = list({task.name: task for task in tasks}.values())
    check_file_names((task.name for task in tasks), "leave one of them out, or give it another name in its file")
    check_overrides(tasks, source)
    if (error := missing(tasks, source, split)) is not None:
        raise error
    if source.shipped and not source.data_dir:  # invented rows, on which no human score was measured
        tasks = [replace(task, human=None) for task in tasks]
    choice = choose(job, tasks, selection.groups, lambda task: _rows_of(task, source, split))
    units: tuple[Task | Group, ...] = (*tasks, *choice.tasks, *choice.groups)
    names = names_of((unit for unit in units if not unit.beside), suite.name if suite else None)
    check_names(job.policy.names_from("margins", OPTION), names, suite.name if suite else None)
    return RunPlan(
        tasks=choice.tasks,
        suite=suite,
        groups=choice.groups,
        base=base,
        candidates=tuple(candidates),
        source=source,
        split=split,
        limit=_either(job.tasks.limit, suite.limit if suite else None),
        num_fewshot=_either(job.tasks.num_fewshot, suite.num_fewshot if suite else None),
        limits=suite.limits if suite and job.tasks.limit is None else {},
        fewshots=suite.fewshots if suite and job.tasks.num_fewshot is None else {},
        computed=choice.computed,
        notices=choice.notices,
    )


def _rows_of(task: Task, source: DataSource, split: str | None) -> tuple[DataRow, ...]:
    stop_if_interrupted()
    return group_rows(read_rows(task, split or task.evaluation_split, source), task).rows


def _either(value: int | None, default: int | None) -> int | None:
    return default if value is None else value


def _with_base(job: Job) -> tuple[Checkpoint, tuple[Checkpoint, ...]]:
    limits, by_chat = limits_of_run(job.engine), job.engine.by_chat
    base = recognise_model(_base_of_all(job), role="base", limits=limits, by_chat=by_chat)
    candidates = recognise_candidates(job.models, base.place, limits, by_chat)
    check_architectures(base, candidates)
    return at_one_precision(job.models, base, candidates)


def _no_placebo(job: Job) -> tuple[Checkpoint, ...]:
    if job.models.placebo:
        raise UsageError(
            "--placebo",
            "there is no base to put an adapter on: its scores are an earlier run's",
            "give --base instead of --baseline",
        )
    return ()


def _base_of_all(job: Job) -> str:
    """Find the one base that all candidates share. Raises UsageError if there is none."""
    if job.models.base:
        return job.models.base
    bases: dict[str, str] = {}  # fingerprint, or address -> text
    for text in job.models.candidates:
        base = base_of(text)
        if base is None:
            served = "its server names none that it was made of"
            files = "no training.json and no adapter_config.json beside the weights"
            what = f"its base is unknown ({served if parse(text).served else files})"
            raise UsageError(
                text,
                what,
                "name the model that it was trained from with --base, or an earlier run of that with --baseline RUN",
            )
        identity = base if parse(base).served else recognise_model(base, role="base").fingerprint
        bases.setdefault(identity, base)
    if len(bases) > 1:
        raise UsageError(
            "run", f"candidates of different bases ({', '.join(bases.values())})", "give one run for each base"
        )
    return next(iter(bases.values()))


def _check_candidates(job: Job) -> None:
    """Check the candidates' names, and those of `--train-data`, before a checkpoint is read. Raises UsageError."""
    specs = [parse(text) for text in job.models.candidates]
    names = [spec.name_in(spec.path.resolve()) for spec in specs]
    _check_names(names)
    for name in job.models.train_data:
        if name and name not in names:
            raise UsageError("--train-data", f"no candidate {name!r} in this run", did_you_mean(name, names))


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            fix = "tell them apart with --model NAME=PATH or --base NAME=PATH"
            raise UsageError(name, f"{names.count(name)} checkpoints of this run have this name", fix)
    check_file_names(names, "give one of them another name: --model NAME=PATH")


def _targets(job: Job, candidates: Sequence[Checkpoint], library: Library) -> list[Task]:
    """List the tasks that the candidates were trained on, without tasks that only training.json names and nobody
    defines.
    """
    targets = [library.task(name) for name in job.models.stated_targets]
    of_files = dict.fromkeys(c.target_task for c in candidates if c.target_task)
    for name in of_files:
        if name in (NO_TARGET, *job.models.stated_targets):
            continue
        with contextlib.suppress(TaskError):
            targets.append(library.task(name))
    return targets
