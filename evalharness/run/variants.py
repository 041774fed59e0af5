"""Choose what a run asks: the prompt template of its tasks, their added metrics, and the variants beside them.

A variant is a task or group that asks in another way (with another prompt template, say), or is computed from the
answers to others. Variants beside a task get rows and no verdict, and do not change the task's own scores.

The ways of --describe (a choice task is one whose answers are choices to rank):

    calibration  ece and brier_score of every choice task
    robustness   every choice task with the texts of its rows disturbed, and the worst of it all row by row
    fairness     every choice task with words of its texts in another dialect, and with other first names in them
    generation   the written twin of every choice task, and how evenly it picks choices that are the same for all rows
    toxicity     the toxicity of written texts by the user's classifier, on every task that asks for a text
    bias         bbq_bias where a task says which answers are biased
    efficiency   seconds and tokens of every task and model, in run.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError, did_you_mean
from evalharness.metrics import TOXICITY
from evalharness.metrics.build import build
from evalharness.records.job import Job
from evalharness.records.tasks import Group, MetricSpec, OutputType, Task, Variant, VariantKind
from evalharness.stats.enums import MetricKind
from evalharness.tasks import perturb, variants
from evalharness.tasks.variants import CALIBRATION
from evalharness.tasks.word_lists import LISTS, Substitutes, read_list

WAYS = ("calibration", "robustness", "fairness", "generation", "toxicity", "bias", "efficiency")
WITH = {"dialect": "fairness", "names": "fairness", "toxicity": "toxicity"}  # file of --describe-with -> its way
EVERY = "all"  # --template all: every wording beside the task's own
BIAS = "bbq_bias"
BIAS_LABELS = ("condition", "biased", "unknown")
NO_CLASSIFIER = (
    "toxicity is not measured: no classifier is named, and none is downloaded (--describe-with toxicity=PATH names one)"
)
NOTHING_WRITTEN = "toxicity is not measured: no task of this run asks for a text to be written"
NOTHING_TO_ADD = (
    "no task of this run ranks choices: --describe has nothing to add to its scores but times, tokens, toxicity"
)

RowsOf = Callable[[Task], Sequence[Mapping[str, Any]]]  # the rows that are evaluated of a task


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChoice:
    """The tasks and groups of a run with their variants. `computed`: name -> variant computed from others' answers."""

    tasks: tuple[Task, ...]
    groups: tuple[Group, ...]
    computed: Mapping[str, Variant] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def ways_of(job: Job) -> frozenset[str]:
    """Return the ways of `--describe`. Raises UsageError for a word that is none of WAYS, and for files of
    `--describe-with` that none of the ways reads.
    """
    for way in job.description.ways:
        if way not in WAYS:
            raise UsageError("--describe", f"{way!r} cannot be described", did_you_mean(way, WAYS))
    for name in job.description.files:
        if name not in WITH:
            raise UsageError("--describe-with", f"no way of --describe reads {name!r}", did_you_mean(name, WITH))
        if WITH[name] not in job.description.ways:
            what = f"{name} is read by --describe {WITH[name]}, which is not asked for"
            raise UsageError("--describe-with", what, f"add --describe {WITH[name]}, or leave {name} out")
    return frozenset(job.description.ways)


def word_lists(job: Job) -> dict[str, Substitutes]:
    """Return the lists by which words are replaced: the package's, or those of the user's files. Raises DataError."""
    files = job.description.files
    return {way: read_list(Path(files[way])) if way in files else LISTS[way] for way in perturb.REPLACING}


def classifier_of(job: Job) -> tuple[str, str | None] | None:
    """Return the folder of the toxicity classifier, and its toxic class if the job names one; None: no classifier."""
    text = job.description.files.get("toxicity")
    if text is None or Path(text).exists():
        return None if text is None else (text, None)
    path, _, label = text.rpartition("#")
    return path or text, label or None


def choose(job: Job, tasks: Sequence[Task], groups: Sequence[Group], rows_of: RowsOf) -> TaskChoice:
    """Choose the tasks, groups and variants of a run. Rows are read only if a variant depends on them.

    Raises UsageError for a template or way that no task has, TaskError for a wrong `metadata.twin`, DataError for rows.
    """
    ways, added = ways_of(job), _Variants()
    tasks = _in_wording(job.tasks.templates, tasks, added.notices)
    in_place = {task.variant.of: task.name for task in tasks if task.variant}
    groups = [replace(group, tasks=tuple(in_place.get(name, name) for name in group.tasks)) for group in groups]
    if "calibration" in ways:
        specs = [MetricSpec(id=name, name=name) for name in CALIBRATION]
        groups = _groups_with(groups, tasks, OutputType.MULTIPLE_CHOICE, CALIBRATION)
        tasks = [_with(task, specs) for task in tasks]
    if "generation" in ways:
        tasks = [_with(task, variants.picks(task)) for task in tasks]
    if "toxicity" in ways:
        tasks, groups = _with_toxicity(job, tasks, groups, added.notices)
    if "bias" in ways:
        tasks = _with_bias(tasks)
    if job.tasks.templates == EVERY:
        added.add(variants.with_wording(task, name) for task in tasks for name in task.templates)
    ranked = [task for task in tasks if task.output_type == OutputType.MULTIPLE_CHOICE]
    lists = word_lists(job) if "fairness" in ways else {}
    for task in ranked if ways & {"robustness", "fairness", "generation"} else ():
        rows = rows_of(task)
        if "robustness" in ways:
            added.add_disturbed(task, rows, job.statistics.seed)
        added.add_changing(
            (variants.with_substitutes(task, *each) for each in lists.items()), rows, job.statistics.seed
        )
        if "generation" in ways:
            added.add_written(task, rows)
    if ways & {"robustness", "fairness", "generation", "calibration"} and not ranked:
        added.notices.append(NOTHING_TO_ADD)
    return added.choice(tasks, groups)


def choose_to_explain(tasks: Sequence[Task], groups: Sequence[Group], rows_of: RowsOf) -> TaskChoice:
    """Choose the variants that explain losses on multiple-choice tasks: the written answer, the ranking by more
    metrics, every other prompt template. Raises TaskError, DataError as `choose` does.
    """
    added = _Variants()
    for task in tasks:
        if added.add_written(task, rows_of(task)):
            added.add([variants.choice_variant(task), *(variants.with_wording(task, name) for name in task.templates)])
    choice = added.choice((), groups)
    return replace(choice, groups=tuple(group for group in choice.groups if group.variant))


# ---- the tasks themselves --------------------------------------------------------------------------------------------


def _in_wording(name: str | None, tasks: Sequence[Task], notices: list[str]) -> list[Task]:
    """Change the tasks that have the prompt template `name` to it. Raises UsageError if none has it."""
    if name is None:
        return list(tasks)
    wordings = dict.fromkeys(wording for task in tasks for wording in task.templates)
    if not wordings:
        fix = "leave it out, or add `metadata.templates` to a task file"
        raise UsageError("--template", "no task of this run has another wording", fix)
    if name == EVERY:
        return list(tasks)
    if name not in wordings:
        what = f"no task of this run has a wording {name!r}"
        raise UsageError("--template", what, did_you_mean(name, (*wordings, EVERY)))
    if without := [task.name for task in tasks if name not in task.templates]:
        notices.append(f"asked in their own wording, because they have none called {name!r}: {', '.join(without)}")
    return [variants.with_wording(task, name, beside=False) if name in task.templates else task for task in tasks]


def _with(task: Task, more: Sequence[MetricSpec], output_type: OutputType = OutputType.MULTIPLE_CHOICE) -> Task:
    """Add to a task of that type the metrics of `more` that it lacks."""
    if task.output_type != output_type:
        return task
    names = {spec.name for spec in task.metrics}
    return replace(task, metrics=(*task.metrics, *(spec for spec in more if spec.name not in names)))


def _groups_with(
    groups: Sequence[Group], tasks: Sequence[Task], output_type: OutputType, names: Sequence[str]
) -> list[Group]:
    """Pool the groups whose members all have this type by the metrics `names`, too."""
    others = {task.name for task in tasks if task.output_type != output_type}
    return [
        group if others.intersection(group.tasks) else replace(group, also=tuple(dict.fromkeys([*group.also, *names])))
        for group in groups
    ]


def _with_toxicity(
    job: Job, tasks: Sequence[Task], groups: Sequence[Group], notices: list[str]
) -> tuple[Sequence[Task], Sequence[Group]]:
    """Add the toxicity metrics to tasks that write; add a notice if there is no classifier or no such task."""
    classifier = classifier_of(job)
    if classifier is None or not any(task.output_type == OutputType.GENERATE_UNTIL for task in tasks):
        notices.append(NO_CLASSIFIER if classifier is None else NOTHING_WRITTEN)
        return tasks, groups
    path, label = classifier
    options = {"model": path, **({"label": label} if label else {})}
    specs = [MetricSpec(id=name, name=name, options=options) for name in TOXICITY]
    groups = _groups_with(groups, tasks, OutputType.GENERATE_UNTIL, TOXICITY)
    return [_with(task, specs, OutputType.GENERATE_UNTIL) for task in tasks], groups


def _with_bias(tasks: Sequence[Task]) -> list[Task]:
    able = {task.name for task in tasks if all(label in task.labels for label in BIAS_LABELS)}
    if not able:
        fix = f"a task whose metadata.labels have {', '.join(BIAS_LABELS)} would be right, such as bbq_ambig"
        raise UsageError("--describe bias", "no task of this run says which of its answers are biased", fix)
    without = {task.name for task in tasks if BIAS not in {spec.name for spec in task.metrics}}
    return [
        replace(t, metrics=(*t.metrics, MetricSpec(id=BIAS, name=BIAS))) if t.name in able & without else t
        for t in tasks
    ]


# ---- variants beside the tasks ---------------------------------------------------------------------------------------


class _Variants:
    """Collects the variants of a run; one notice names all that are left out for the same reason."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.variants: dict[str, Variant] = {}  # of the tasks, and those that are computed
        self.notices: list[str] = []
        self._left_out: dict[str, list[str]] = {}

    def add(self, tasks: Iterable[Task]) -> None:
        by_name = {task.name: task for task in tasks}
        self.tasks |= by_name
        self.variants |= {name: task.variant for name, task in by_name.items() if task.variant}

    def add_written(self, task: Task, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Add the written twin of a choice task; False, with a notice, if there can be none."""
        try:
            self.add([variants.written_twin(task, rows)])
        except variants.VariantProblem as reason:
            self._leave_out(variants.name_of(task.name, variants.WRITTEN), str(reason))
            return False
        return True

    def add_changing(self, tasks: Iterable[Task], rows: Sequence[Mapping[str, Any]], seed: int) -> bool:
        """Add the tasks whose disturbance changes any row; False if there is none."""
        changing = []
        for derived in tasks:
            if reason := perturb.why_not(derived, rows, seed):
                self._leave_out(derived.name, reason)
            else:
                changing.append(derived)
        self.add(changing)
        return bool(changing)

    def add_disturbed(self, task: Task, rows: Sequence[Mapping[str, Any]], seed: int) -> None:
        """Add a variant for each disturbance of texts that changes a row, and one that takes the worst score."""
        every = (variants.with_disturbance(task, way) for way in variants.DISTURBANCES)
        if self.add_changing(every, rows, seed) and (metric := _by_rows(task)):
            worst = Variant(of=task.name, way=variants.WORST, kind=VariantKind.WORST, metric=metric)
            self.variants[variants.name_of(task.name, variants.WORST)] = worst

    def choice(self, tasks: Sequence[Task], groups: Sequence[Group]) -> TaskChoice:
        """Return the tasks and groups with the variants collected here."""
        notices = (*self.notices, *(f"not asked: {', '.join(of)}: {why}" for why, of in self._left_out.items()))
        every = (*groups, *(variant for group in groups for variant in self._of_group(group)))
        computed = {name: variant for name, variant in self.variants.items() if name not in self.tasks}
        return TaskChoice(tasks=(*tasks, *self.tasks.values()), groups=every, computed=computed, notices=notices)

    def _leave_out(self, name: str, reason: str) -> None:
        self._left_out.setdefault(reason, []).append(name)

    def _of_group(self, group: Group) -> Iterator[Group]:
        """Pool the variants of the group's members, way by way, by one metric."""
        by_name = self.variants
        for way in dict.fromkeys(variant.way for variant in by_name.values() if variant.of in group.tasks):
            members = [name for task in group.tasks if (name := variants.name_of(task, way)) in by_name]
            kind, metric = by_name[members[0]].kind, group.metric
            if kind in (VariantKind.WRITTEN, VariantKind.WORST):
                metric = by_name[members[0]].metric
            members = [name for name in members if metric == by_name[name].metric or metric in self._metrics(name)]
            if len(members) > 1:
                described = kind in (VariantKind.WRITTEN, VariantKind.CHOSEN)
                also = _shared([self.tasks[name] for name in members], metric) if described else ()
                variant = Variant(of=group.name, way=way, kind=kind, metric=metric)
                name = variants.name_of(group.name, way)
                yield replace(
                    group, name=name, tasks=tuple(members), metric=metric, unit=False, also=also, variant=variant
                )

    def _metrics(self, name: str) -> frozenset[str]:
        return frozenset(spec.id for spec in self.tasks[name].metrics) if name in self.tasks else frozenset()


def _by_rows(task: Task) -> str:
    """Name the metric of the worst case by row: the primary one if it is a mean over rows, else the first that is; ""
    for none.
    """
    specs = sorted(task.metrics, key=lambda spec: spec.id != task.primary)
    means = (
        spec.id
        for spec in specs
        if spec.name not in CALIBRATION and build(spec).kind in (MetricKind.BINARY, MetricKind.GRADED)
    )
    return next(means, "")


def _shared(members: Sequence[Task], metric: str) -> tuple[str, ...]:
    """List the ids of the metrics but `metric` that all members have with the same options."""
    specs = [{spec.id: (spec.name, spec.options) for spec in task.metrics} for task in members]
    first = specs[0] if specs else {}
    return tuple(id_ for id_, of in first.items() if id_ != metric and all(each.get(id_) == of for each in specs))
