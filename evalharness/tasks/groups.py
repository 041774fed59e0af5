"""Check the mappings of group and suite files, and make Groups and Suites.

A group is lm-eval's `group:`, a suite is this harness's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError, did_you_mean
from evalharness.records.tasks import Average, Group, HumanLevel, Suite, Task
from evalharness.tasks import scoring
from evalharness.tasks.fields import Fields
from evalharness.tasks.loading import NeedsCode, NotSupported, kind
from evalharness.tasks.metadata import FAMILIES, MARGIN, human

GROUP_KEYS = ("group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag")
ALIASES = ("task_alias", "group_alias")
DEFINING = ("dataset_path", "include", "custom_dataset", "class")  # a task defined inside a group has one of these
SUITE_KEYS = (
    *("suite", "description", "tasks", "limit", "num_fewshot", "split", "margin", "margins", "data", "limits"),
    *("fewshots", "average"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """One entry of a group: the name of a task or group, and the keys that are changed in its tasks.

    `around` are the keys that the group changes, `own` those that the entry changes. `inline` is the entry itself if
    it could define a new task or group, else None.
    """

    name: str
    around: Mapping[str, Any]
    own: Mapping[str, Any] = field(default_factory=dict)
    inline: Mapping[str, Any] | None = None

    @property
    def changes(self) -> Mapping[str, Any]:
        return {**self.around, **self.own}


def members_of(values: Mapping[str, Any], path: Path, pushed: Mapping[str, Any]) -> list[GroupMember]:
    """Return the members of a group.

    Every key that is not a group's own changes its tasks: first the group's keys, then those of an outer group
    (`pushed`), then the entry's (lm-eval's order). Raises TaskError.
    """
    listed = values.get("task")
    items = [listed] if isinstance(listed, str) else listed
    if not isinstance(items, list) or not items:
        raise Fields(values, path).wrong("task", "a list of names")
    around = {**{key: value for key, value in values.items() if key not in (*GROUP_KEYS, *ALIASES)}, **pushed}
    return [_member(item, around, str(values.get("group")), path) for item in items]


def group_from(values: Mapping[str, Any], path: Path, tasks: Sequence[Task]) -> Group:
    """Make the group of these tasks, in which no group is left.

    Its metric is the first of `aggregate_metric_list`, else its first task's primary one. Raises TaskError if only
    some members compute a metric; one that no member computes is left out, as in lm-eval.
    """
    fields = Fields(values, path)
    metadata = fields.part("metadata")
    ids, by_size = _aggregated(fields, tasks)
    unit = metadata.boolean("unit")
    metric = ids[0] if ids else tasks[0].primary
    for each in (*ids, *((metric,) if unit else ())):
        for task in tasks:
            if each not in {spec.id for spec in task.metrics}:
                ids_of_task = ", ".join(spec.id for spec in task.metrics)
                raise TaskError(
                    path, f"its metric {each!r} is not computed by {task.name}", f"that task has {ids_of_task}"
                )
    margin = metadata.number("margin")
    if margin is None and unit and metric.split(",")[0] in scoring.OTHER_SCALES:
        raise TaskError(
            path, f"metadata.margin is missing: {metric} is not on a 0-1 scale", "state the drop that may be tolerated"
        )
    families = {task.family for task in tasks}
    return Group(
        name=fields.required_text("group"),
        tasks=tuple(task.name for task in tasks),
        metric=metric,
        unit=unit,
        margin=MARGIN if margin is None else margin,
        family=metadata.one_of("family", FAMILIES, families.pop() if len(families) == 1 else "other"),
        also=tuple(ids[1:]),
        macro=not by_size,
        human=human(metadata, tasks[0].metrics, metric),
    )


def suite_from(values: Mapping[str, Any], path: Path) -> Suite:
    """Make the suite of a file. Its names of groups and tags, and its globs, are not resolved yet. Raises TaskError."""
    fields = Fields(values, path)
    fields.refuse_unknown(SUITE_KEYS)
    listed = fields.texts("tasks")
    if not listed:
        raise TaskError(path, "lists no tasks", "tasks: a list of names of tasks or groups")
    margins = fields.mapping("margins")
    inner = Fields(margins, path, "margins")
    if "margin" in values:
        what = "margin: a suite has none of its own, it is the mean over its tasks in their margins"
        raise TaskError(path, what, "state margins: by task or group")
    for name, value in ((name, inner.number(name)) for name in margins):
        if value is not None and value <= 0:
            raise TaskError(path, f"the margin of {name} is {value}", "a positive number would be right")
    return Suite(
        name=fields.required_text("suite"),
        tasks=listed,
        groups=(),
        limit=fields.whole("limit", 1),
        num_fewshot=fields.whole("num_fewshot", 0),
        split=fields.text("split"),
        margins={name: float(value) for name, value in margins.items()},
        data=fields.text("data"),
        limits=_numbers(fields, "limits", 1),
        fewshots=_numbers(fields, "fewshots", 0),
        average=_average(fields),
    )


def check_suite(suite: Suite, path: Path, tasks: Sequence[Task], groups: Iterable[str]) -> None:
    """Check that every name in the suite's options exists in it. Raises TaskError naming file and key."""
    names = [*(task.name for task in tasks), *groups]
    for key, numbers in {"margins": suite.margins, "limits": suite.limits, "fewshots": suite.fewshots}.items():
        for name in numbers:
            _refuse_unknown(name, names, key, path)
    if suite.average is None:
        return
    metrics = {task.name: [spec.id for spec in task.metrics] for task in tasks}
    for entry, averaged in suite.average.over.items():
        for name in entry.split("+"):
            key = f"average.over.{entry}"
            _refuse_unknown(name, metrics, key, path)
            for metric in averaged:
                if metric not in metrics[name]:
                    raise TaskError(
                        path,
                        f"{key} names the metric {metric!r}, which {name} does not compute",
                        did_you_mean(metric, metrics[name]),
                    )


def _refuse_unknown(name: str, names: Collection[str], key: str, path: Path) -> None:
    if name not in names:
        raise TaskError(path, f"{key} names {name!r}, which the suite does not evaluate", did_you_mean(name, names))


def _numbers(fields: Fields, key: str, least: int) -> dict[str, int]:
    part = fields.part(key)
    return {name: part.whole(name, least) or 0 for name in part.values}


def _average(fields: Fields) -> Average | None:
    """Return the published average; `check_suite` checks its tasks and metrics."""
    if fields.values.get("average") is None:
        return None
    part = fields.part("average")
    part.refuse_unknown(("name", "over", "normalised", "human"))
    over = part.part("over")
    entries = {name: over.texts(name) for name in over.values}
    if not entries or not all(entries.values()):
        raise part.wrong("over", "a mapping of tasks to lists of metrics")
    name = part.required_text("name")
    return Average(name=name, over=entries, normalised=part.boolean("normalised"), human=_human_average(part, name))


def _human_average(fields: Fields, name: str) -> HumanLevel | None:
    """Return the published average score of people."""
    if fields.values.get("human") is None:
        return None
    part = fields.part("human")
    part.refuse_unknown(("value", "source"))
    value = part.number("value")
    if value is None:
        raise part.wrong("value", "a number in the average's unit")
    return HumanLevel(metric=name, value=value, source=part.required_text("source"))


def _member(item: Any, around: Mapping[str, Any], group: str, path: Path) -> GroupMember:
    if isinstance(item, str):
        return GroupMember(name=item, around=around)
    if not isinstance(item, dict):
        raise TaskError(
            path,
            f"the group {group!r} lists {kind(item)}",
            "names, or mappings with `task:` or `group:`, would be right",
        )
    name = item.get("group", item.get("task"))
    if not isinstance(name, str):
        raise TaskError(
            path, f"the group {group!r} lists a mapping without a name", "`task: NAME` or `group: NAME` would be right"
        )
    own = {key: value for key, value in item.items() if key not in ("group", "task", *ALIASES)}
    defines = "task" in item if "group" in item else any(key in around or key in own for key in DEFINING)
    return GroupMember(name=name, around=around, own=own, inline=item if defines else None)


def _aggregated(fields: Fields, tasks: Sequence[Task]) -> tuple[list[str], bool]:
    """Return the ids of the metrics that a group pools, and whether tasks are weighted by their numbers of examples.

    Each metric is listed with all its filters.
    """
    listed = fields.values.get("aggregate_metric_list")
    values = {"aggregate_metric_list": [listed] if isinstance(listed, dict) else listed}
    ids: dict[str, None] = {}
    by_size: set[bool] = set()
    for number, each in enumerate(Fields(values, fields.path).mappings("aggregate_metric_list") or ()):
        entry = Fields(each, fields.path, f"aggregate_metric_list[{number}]")
        entry.refuse_unknown(("metric", "aggregation", "weight_by_size", "filter_list"))
        if entry.values.get("aggregation", "mean") != "mean":
            error = entry.wrong("aggregation", "mean")
            if not isinstance(error, NeedsCode):
                error = NotSupported(fields.path, f"{entry.within}: {error.what}", "mean would be right")
            raise error
        ids |= dict.fromkeys(_ids(entry, tasks))
        by_size.add(entry.boolean("weight_by_size", True))
    if len(by_size) == 2:
        raise NotSupported(
            fields.path,
            "weight_by_size differs between metrics of the group",
            "one value for all of them would be right",
        )
    return list(ids), by_size != {False}


def _ids(entry: Fields, tasks: Sequence[Task]) -> list[str]:
    """Return the ids of an entry's metric with the filters that it names, else with every filter of the tasks; [] if
    no task computes it.
    """
    name = entry.required_text("metric")
    computed = dict.fromkeys(spec.id for task in tasks for spec in task.metrics if name in (spec.name, spec.id))
    filters = entry.texts("filter_list")
    ids = [name + ("" if each == "none" else f",{each}") for each in filters] or list(computed)
    return ids if computed else []
