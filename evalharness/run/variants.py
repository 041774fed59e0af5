"""The tasks that a run is asked for to those that it asks: in which wording, by which more metrics, and in which other
ways beside.

    calibration  ece and brier_score of every choice task
    robustness   every choice task with the texts of its rows disturbed, and the worst of it all row by row
    generation   the generative twin of every choice task, and how evenly it picks choices that are the same for all
    rows
    bias         bbq_bias where a task says which answers are biased
    efficiency   seconds and tokens of every task and model, in run.json

Other ways of asking are tasks of their own (tasks/variants.py) that get rows and no verdict; the tasks' own numbers do
not change for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from evalharness.data.files import DataRow
from evalharness.errors import UsageError, did_you_mean
from evalharness.metrics.base import build
from evalharness.records.job import Job
from evalharness.records.tasks import Group, MetricSpec, OutputType, Task
from evalharness.stats.enums import MetricKind
from evalharness.tasks import perturb, variants
from evalharness.tasks.variants import CALIBRATION

WAYS = ("calibration", "robustness", "generation", "bias", "efficiency")
EVERY = "all"  # --template all: every wording beside the task's own
BIAS = "bbq_bias"
BIAS_LABELS = ("condition", "biased", "unknown")

Kind = Literal["wording", "written", "chosen", "disturbed", "worst"]


@dataclass(frozen=True, slots=True)
class Aside:
    """Another way of asking the task (or group) `of`. `metric`: the one that is set beside the task's own."""

    of: str
    way: str
    kind: Kind
    metric: str


@dataclass(frozen=True, slots=True)
class Described:
    """What is asked. `origins`: a task under another name than the library's to the task whose rows it asks about."""

    tasks: tuple[Task, ...]
    groups: tuple[Group, ...]
    asides: Mapping[str, Aside] = field(default_factory=dict)  # by name, of tasks and of groups
    origins: Mapping[str, Task] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def ways_of(job: Job) -> frozenset[str]:
    """What `job` asks to describe. Raises UsageError for a word that is none of WAYS."""
    for way in job.describe:
        if way not in WAYS:
            raise UsageError("--describe", f"{way!r} is nothing that can be described", did_you_mean(way, WAYS))
    return frozenset(job.describe)


def described(
    job: Job, tasks: Sequence[Task], groups: Sequence[Group], rows_of: Callable[[Task], Sequence[DataRow]]
) -> Described:
    """Everything to ask. `rows_of`: the rows that are evaluated of a task of the library; read only where a way of
    asking depends on them.

    Raises UsageError for a wording or a way that no task of the run has, TaskError for a wrong `metadata.twin`,
    DataError for unreadable rows.
    """
    ways = ways_of(job)
    teller = _Teller([])
    tasks, origins = _in_wording(job.templates, tasks, teller)
    groups = [_renamed(group, {origin.name: name for name, origin in origins.items()}) for group in groups]
    if "calibration" in ways:
        groups = [_calibrated_group(group, {task.name: task for task in tasks}) for group in groups]
        tasks = [_with(task, [MetricSpec(name, name) for name in CALIBRATION]) for task in tasks]
    if "generation" in ways:
        tasks = [_with(task, variants.picks(task)) for task in tasks]
    if "bias" in ways:
        tasks = _with_bias(tasks)
    beside = _Beside(origins, teller, {}, {})
    if job.templates == EVERY:
        for task in tasks:
            for name in task.templates:
                beside.add(variants.worded(task, name), task, "wording")
    for task in tasks if ways & {"robustness", "generation"} else ():
        if task.output_type == OutputType.MULTIPLE_CHOICE:
            _asked_otherwise(task, ways, rows_of(origins.get(task.name, task)), beside, job.seed)
    if ways & {"robustness", "generation", "calibration"} and not any(
        task.output_type == OutputType.MULTIPLE_CHOICE for task in tasks
    ):
        teller.say(
            "no task of this run ranks choices: --describe has nothing to add to its scores but times and tokens"
        )
    found = [*groups, *_groups_beside(groups, beside)]
    asides = {**beside.asides, **{group.name: _aside_of(group, beside.asides) for group in found[len(groups) :]}}
    return Described((*tasks, *beside.tasks.values()), tuple(found), asides, beside.origins, teller.lines())


def explaining(
    tasks: Sequence[Task],
    groups: Sequence[Group],
    origins: Mapping[str, Task],
    rows_of: Callable[[Task], Sequence[DataRow]],
) -> Described:
    """What is asked of choice tasks that were lost: the answer written, the ranking by more metrics, every other
    wording.

    Only that, not the tasks themselves. `origins` and `rows_of` as for the run. Raises TaskError, DataError as
    `described` does.
    """
    beside = _Beside(dict(origins), _Teller([]), {}, {})
    for task in tasks:
        if not _twin(task, rows_of(origins.get(task.name, task)), beside):
            continue
        beside.add(variants.chosen(task), task, "chosen")
        for name in task.templates:
            beside.add(variants.worded(task, name), task, "wording")
    found = _groups_beside(groups, beside)
    asides = {**beside.asides, **{group.name: _aside_of(group, beside.asides) for group in found}}
    return Described(tuple(beside.tasks.values()), tuple(found), asides, beside.origins, beside.teller.lines())


# ---- the tasks themselves --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Teller:
    """Notices of the run; what is left out for one reason is said in one line."""

    said: list[str]
    left: dict[str, list[str]] = field(default_factory=dict)

    def say(self, text: str) -> None:
        self.said.append(text)

    def left_out(self, name: str, reason: str) -> None:
        self.left.setdefault(reason, []).append(name)

    def lines(self) -> tuple[str, ...]:
        return (*self.said, *(f"not asked: {', '.join(names)}: {reason}" for reason, names in self.left.items()))


def _in_wording(name: str | None, tasks: Sequence[Task], teller: _Teller) -> tuple[list[Task], dict[str, Task]]:
    """The tasks, those that have it in the wording `name`; and what each of these was."""
    if name is None:
        return list(tasks), {}
    known = dict.fromkeys(wording for task in tasks for wording in task.templates)
    if not known:
        raise UsageError(
            "--template",
            "no task of this run has another wording",
            "leave it out, or add `metadata.templates` to a task file",
        )
    if name == EVERY:
        return list(tasks), {}
    if name not in known:
        raise UsageError(
            "--template", f"no task of this run has a wording {name!r}", did_you_mean(name, (*known, EVERY))
        )
    without = [task.name for task in tasks if name not in task.templates]
    if without:
        teller.say(f"asked in their own wording, because they have none called {name!r}: {', '.join(without)}")
    asked = [variants.worded(task, name) if name in task.templates else task for task in tasks]
    return asked, {after.name: before for before, after in zip(tasks, asked, strict=True) if after is not before}


def _renamed(group: Group, names: Mapping[str, str]) -> Group:
    return replace(group, tasks=tuple(names.get(name, name) for name in group.tasks))


def _with(task: Task, more: Sequence[MetricSpec]) -> Task:
    """A choice task with more metrics, those that it lacks."""
    if task.output_type != OutputType.MULTIPLE_CHOICE:
        return task
    known = {spec.name for spec in task.metrics}
    return replace(task, metrics=(*task.metrics, *(spec for spec in more if spec.name not in known)))


def _calibrated_group(group: Group, tasks: Mapping[str, Task]) -> Group:
    ranked = all(tasks[name].output_type == OutputType.MULTIPLE_CHOICE for name in group.tasks if name in tasks)
    return (
        replace(group, also=(*group.also, *(name for name in CALIBRATION if name not in group.also)))
        if ranked
        else group
    )


def _with_bias(tasks: Sequence[Task]) -> list[Task]:
    able = {task.name for task in tasks if all(label in task.labels for label in BIAS_LABELS)}
    if not able:
        what = "no task of this run says which of its answers are biased"
        raise UsageError(
            "--describe bias",
            what,
            f"a task whose metadata.labels have {', '.join(BIAS_LABELS)} would be right, such as bbq_ambig",
        )
    without = {task.name for task in tasks if BIAS not in {spec.name for spec in task.metrics}}
    return [replace(t, metrics=(*t.metrics, MetricSpec(BIAS, BIAS))) if t.name in able & without else t for t in tasks]


# ---- other ways of asking --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Beside:
    """Other ways of asking, as they are found."""

    origins: dict[str, Task]
    teller: _Teller
    tasks: dict[str, Task]
    asides: dict[str, Aside]

    def add(self, derived: Task, parent: Task, kind: Kind) -> None:
        self.tasks[derived.name] = derived
        self.origins[derived.name] = self.origins.get(parent.name, parent)
        self.asides[derived.name] = Aside(
            parent.name, derived.name.removeprefix(f"{parent.name}@"), kind, derived.primary
        )


def _asked_otherwise(task: Task, ways: Iterable[str], rows: Sequence[DataRow], beside: _Beside, seed: int) -> None:
    """The disturbances and the twin of one choice task."""
    if "robustness" in ways:
        for derived in (variants.disturbed(task, way) for way in variants.DISTURBANCES):
            reason = perturb.why_not(replace(derived, name=beside.origins.get(task.name, task).name), rows, seed)
            if reason:
                beside.teller.left_out(derived.name, reason)
            else:
                beside.add(derived, task, "disturbed")
        disturbed = [aside for aside in beside.asides.values() if aside.of == task.name and aside.kind == "disturbed"]
        if disturbed and (metric := _by_rows(task)):
            beside.asides[f"{task.name}@{variants.WORST}"] = Aside(task.name, variants.WORST, "worst", metric)
    if "generation" in ways:
        _twin(task, rows, beside)


def _twin(task: Task, rows: Sequence[DataRow], beside: _Beside) -> bool:
    """Adds the twin of a choice task, where there can be one."""
    try:
        beside.add(variants.written(task, rows), task, "written")
    except variants.Unfit as reason:
        beside.teller.left_out(f"{task.name}@{variants.WRITTEN}", str(reason))
        return False
    return True


def _by_rows(task: Task) -> str:
    """The metric whose worst value is taken row by row: the primary one where it is a mean over rows, else the first
    that is; empty for none.
    """
    specs = sorted(task.metrics, key=lambda spec: spec.id != task.primary)
    return next(
        (
            spec.id
            for spec in specs
            if spec.name not in CALIBRATION and build(spec).kind in (MetricKind.BINARY, MetricKind.GRADED)
        ),
        "",
    )


def _groups_beside(groups: Sequence[Group], beside: _Beside) -> list[Group]:
    """A group asked in another way: its members that are, pooled by one metric."""
    found = []
    for group in groups:
        for way in dict.fromkeys(aside.way for aside in beside.asides.values() if aside.of in group.tasks):
            members = [name for task in group.tasks if (name := f"{task}@{way}") in beside.asides]
            first = beside.asides[members[0]]
            metric = first.metric if first.kind in ("written", "worst") else group.metric
            members = [
                name
                for name in members
                if metric == beside.asides[name].metric or metric in _ids(beside.tasks.get(name))
            ]
            also = (
                _shared([beside.tasks[name] for name in members], metric) if first.kind in ("written", "chosen") else ()
            )
            if len(members) > 1:
                found.append(
                    replace(
                        group, name=f"{group.name}@{way}", tasks=tuple(members), metric=metric, unit=False, also=also
                    )
                )
    return found


def _shared(members: Sequence[Task], metric: str) -> tuple[str, ...]:
    """Ids of the metrics but `metric` that all have with the same options."""
    specs = [{spec.id: (spec.name, spec.options) for spec in task.metrics} for task in members]
    return tuple(
        id_
        for id_, of in (specs[0] if specs else {}).items()
        if id_ != metric and all(each.get(id_) == of for each in specs)
    )


def _ids(task: Task | None) -> frozenset[str]:
    return frozenset(spec.id for spec in task.metrics) if task else frozenset()


def _aside_of(group: Group, asides: Mapping[str, Aside]) -> Aside:
    member = asides[group.tasks[0]]
    return Aside(group.name.removesuffix(f"@{member.way}"), member.way, member.kind, group.metric)
