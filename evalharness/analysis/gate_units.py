"""List the subjects of a comparison, every task and group by every metric, and mark those that are gate units.

A gate unit is a task or group that the gate judges. The list depends on names, metrics and the plan only, so that no
answer can change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evalharness.errors import TaskError
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Level
from evalharness.records.measurements import MetricFacts, TaskFacts
from evalharness.records.tasks import Group, HumanLevel, Variant
from evalharness.stats.enums import MetricKind

Member = tuple[TaskFacts, MetricFacts]  # a task, and the metric by which it is scored here


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of one row of a comparison: one task, or one group of tasks whose rows are pooled, by one metric.

    `name`, `family`: of the task or group. `members`: the tasks, each with its metric; a task has itself as its one
    member, and a group has at least one. `primary`: the metric is the one that decides. `unit`: the subject is a gate
    unit. `inside`: it is part of a gate unit. `margin`: the largest acceptable loss, in the metric's unit; None: the
    row gets no verdict. `group`: the group, None for a task. `variant`: how it differs from the task of which it is a
    variant, None if it is none. `human`: what people score by this metric; None: not known.
    """

    name: str
    family: str
    level: Level
    metric: str
    members: tuple[Member, ...]
    primary: bool
    unit: bool
    margin: float | None
    inside: bool = False
    group: Group | None = None
    variant: Variant | None = None
    human: HumanLevel | None = None

    @property
    def judged(self) -> bool:
        return self.margin is not None

    @property
    def span(self) -> float | None:
        """The largest possible loss, in the metric's unit; None if the metric has no finite range."""
        return self.members[0][1].span

    @property
    def macro(self) -> bool:
        """Whether every task of the group has the same weight, regardless of its number of examples."""
        return self.group is not None and self.group.macro

    @property
    def tasks(self) -> list[TaskFacts]:
        return [task for task, _ in self.members]


def subjects(facts: Sequence[TaskFacts], plan: ComparePlan) -> list[Subject]:
    """Return every task with each of its metrics, in the order of the facts, then every group of the plan that has such
    a task.

    Raises TaskError if the tasks of a group that is a gate unit cannot be pooled.
    """
    tasks = {task.name: task for task in facts}
    inside = {name for group in plan.groups if group.unit for name in group.tasks}
    tasks_alone = [_of_task(task, metric, plan, task.name in inside) for task in facts for metric in task.metrics]
    return [*tasks_alone, *(each for group in plan.groups for each in of_group(group, tasks, plan))]


def gate_units(facts: Sequence[TaskFacts], plan: ComparePlan) -> list[Subject]:
    """Return the subjects that the gate judges: groups that are gate units, and the judged tasks outside these."""
    return [subject for subject in subjects(facts, plan) if subject.unit]


def of_group(group: Group, tasks: Mapping[str, TaskFacts], plan: ComparePlan, without: str = "") -> Iterator[Subject]:
    """Return the subjects of a group: by its deciding metric first, then by those that only describe.

    `without`: a task to leave out. There is no subject if no task remains, or if a group that only describes cannot be
    pooled.
    """
    members = [tasks[name] for name in group.tasks if name in tasks and name != without]
    for metric_id in (group.metric, *group.also) if members else ():
        decides = metric_id == group.metric
        metrics = _pooled_metrics(replace(group, metric=metric_id, unit=group.unit and decides), members)
        if not metrics:
            continue
        judged = decides and group.name not in plan.describing
        yield Subject(
            name=group.name,
            family=group.family,
            level=Level.GROUP,
            metric=metric_id if any(metric.id == metric_id for metric in metrics) else metrics[0].id,
            members=tuple(zip(members, metrics, strict=True)),
            primary=judged,
            unit=group.unit and judged,
            margin=plan.margins.get(group.name, group.margin) if judged else None,
            group=group,
            variant=group.variant,
            human=group.human if judged and group.human and group.human.metric == metric_id else None,
        )


def _of_task(task: TaskFacts, metric: MetricFacts, plan: ComparePlan, inside: bool) -> Subject:
    primary = metric.id == task.primary
    judged = primary and metric.kind != MetricKind.OPAQUE and task.name not in plan.describing
    return Subject(
        name=task.name,
        family=task.family,
        level=Level.TASK,
        metric=metric.id,
        members=((task, metric),),
        primary=primary,
        unit=judged and not inside,
        margin=plan.margins.get(task.name, task.margin) if judged else None,
        inside=inside,
        variant=task.variant,
        human=task.human if task.human and task.human.metric == metric.id else None,
    )


def member_metric(group: Group, task: TaskFacts) -> MetricFacts:
    """Return the group's metric if the task has it, else the metric that decides the task."""
    by_id = {metric.id: metric for metric in task.metrics}
    return by_id.get(group.metric) or by_id[task.primary]


def _poolable(metrics: Sequence[MetricFacts], macro: bool) -> bool:
    """Return whether metrics can be pooled. Means on one scale can; a corpus metric can with itself, but not with equal
    weights for tasks.
    """
    means = all(metric.kind in (MetricKind.BINARY, MetricKind.GRADED) for metric in metrics)
    scales = {(metric.low, metric.high, metric.higher_is_better) for metric in metrics}
    first = metrics[0]
    same = all(
        (each.kind, each.name, each.options) == (MetricKind.CORPUS, first.name, first.options) for each in metrics
    )
    return len(scales) == 1 and (means or (same and not macro))


def _pooled_metrics(group: Group, members: Sequence[TaskFacts]) -> list[MetricFacts]:
    """Return the metric by which each member's rows are added; empty if a group that only describes cannot be
    pooled.
    """
    metrics = [member_metric(group, task) for task in members]
    if (poolable := _poolable(metrics, group.macro)) or not group.unit:
        return metrics if poolable else []
    what = "its tasks cannot be pooled: they are scored by " + ", ".join(sorted({metric.id for metric in metrics}))
    fix = "give them one metric whose rows can be added, or let the group only describe (unit: false)"
    raise TaskError(f"group {group.name}", what, fix)
