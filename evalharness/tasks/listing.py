"""List tasks, groups and suites by name, family and tag."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from evalharness.errors import TaskError, did_you_mean
from evalharness.records.tasks import Group, Suite, Task
from evalharness.tasks.library import Library

Readable = TypeVar("Readable")


@dataclass(slots=True, kw_only=True)
class Listing:
    """The tasks, groups and suites that match and can run here. `broken` says why others that match by name cannot."""

    tasks: list[Task] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    suites: list[Suite] = field(default_factory=list)
    broken: dict[str, TaskError] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.groups or self.suites)

    def document(self) -> Mapping[str, object]:
        """Return the listing as JSON."""
        return {
            "tasks": [_task_document(task) for task in self.tasks],
            "groups": [
                {"name": group.name, "tasks": group.tasks, "metric": group.metric, "unit": group.unit}
                | {"human": asdict(group.human) if group.human else None}
                for group in self.groups
            ],
            "suites": [{"name": suite.name, "tasks": suite.tasks} for suite in self.suites],
            "cannot run": {name: str(error) for name, error in self.broken.items()},
        }


def listing(library: Library, pattern: str | None, family: str | None, tag: str | None, everything: bool) -> Listing:
    """Return the tasks that match the name or glob, the family and the tag.

    Groups and suites are included if neither family nor tag is stated. Parts and variants of other tasks are left out,
    unless there is a pattern or a tag, or `everything` is true. Raises TaskError if nothing matches.
    """
    result = Listing()
    for task in _readable(library.task, _matching(library.names(), pattern), result.broken):
        is_part = task.variant_of is not None and pattern is None and tag is None and not everything
        if family in (None, task.family) and (tag is None or tag in task.tags) and not is_part:
            result.tasks.append(task)
    if family is None and tag is None:
        result.groups = _readable(library.group, _matching(library.groups(), pattern), result.broken)
        result.suites = _readable(library.suite, _matching(library.suites(), pattern), result.broken)
    if not result:
        if result.broken and family is None and tag is None:
            raise next(iter(result.broken.values()))
        raise _nothing(library, pattern, family, tag)
    return result


def _matching(names: Sequence[str], pattern: str | None) -> list[str]:
    return [name for name in names if pattern is None or fnmatch.fnmatchcase(name, pattern)]


def _readable(read: Callable[[str], Readable], names: Sequence[str], broken: dict[str, TaskError]) -> list[Readable]:
    """Return the definitions that can be read; the errors of the others go into `broken`."""
    readable: list[Readable] = []
    for name in names:
        try:
            readable.append(read(name))
        except TaskError as error:
            broken[name] = error
    return readable


def _nothing(library: Library, pattern: str | None, family: str | None, tag: str | None) -> TaskError:
    if tag and tag not in library.tags():
        return TaskError("--tag", f"no task has the tag {tag!r}", did_you_mean(tag, library.tags()))
    families = {task.family for task in _readable(library.task, library.names(), {})}
    if family and family not in families:
        return TaskError("--family", f"no task is of the family {family!r}", did_you_mean(family, families))
    names = [*library.names(), *library.groups(), *library.suites()]
    return TaskError("tasks list", f"nothing matches {pattern or ''!r}", did_you_mean(str(pattern), names))


def _task_document(task: Task) -> dict[str, object]:
    return {
        "task": task.name,
        "family": task.family,
        "output_type": task.output_type,
        "primary": task.primary,
        "metrics": [spec.id for spec in task.metrics],
        "chance": task.chance,
        "human": asdict(task.human) if task.human else None,
        "unit": task.unit_name,
        "margin": task.margin,
        "source": str(task.source),
        "lm_eval": task.lm_eval,
        "variant_of": task.variant_of,
        "licence": task.licence,
        "tags": task.tags,
    }
