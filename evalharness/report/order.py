"""Order tasks and groups for display, and map tasks to their groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from evalharness.records.comparison import Comparison, Level
from evalharness.records.models import NO_TARGET
from evalharness.records.results import Results


def targets_of(results: Results) -> dict[str, str]:
    """Map each candidate to its target (the task it was trained on), if that is known."""
    judged = {model.name: model.target_task for model in results.models if model.judged}
    return {name: task for name, task in judged.items() if task is not None and task != NO_TARGET}


def in_order(results: Results, of: Collection[str] | None = None) -> list[tuple[str, list[Comparison]]]:
    """Return each task with its deciding comparisons, one for each candidate: the suite first, each group before its
    members.

    `of`: take these models; None: the candidates.
    """
    names, groups, group = results.candidates if of is None else of, groups_of(results), members_of(results)
    rows: dict[tuple[str, str], list[Comparison]] = {}  # by level and task
    for comparison in results.comparisons:
        if comparison.primary and comparison.candidate in names:
            rows.setdefault((comparison.level, comparison.task), []).append(comparison)
    members: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for level, task in rows:
        head = (Level.GROUP, group.get(task, ""))
        if level == Level.TASK and head in rows:
            members.setdefault(head, []).append((level, task))
    place = {key: i for i, key in enumerate(rows)}

    def where(key: tuple[str, str]) -> tuple[bool, int, int]:
        pooled = groups.get(key[1], ()) if key[0] == Level.GROUP else ()
        keys = [key, *members.get(key, ()), *((Level.TASK, task) for task in pooled)]
        return key[0] != Level.SUITE, min(place[k] for k in keys if k in place), -len(pooled)

    inner = {key for keys in members.values() for key in keys}
    heads = sorted((key for key in rows if key not in inner), key=where)
    return [(key[1], rows[key]) for head in heads for key in (head, *members.get(head, ()))]


def with_families(results: Results) -> list[tuple[str, list[Comparison]]]:
    """Return the same as `in_order` for the candidates, then the means over families, which only describe."""
    rows, families, names = in_order(results), dict[str, list[Comparison]](), results.candidates
    for comparison in results.comparisons:
        if comparison.level == Level.FAMILY and comparison.candidate in names:
            families.setdefault(comparison.task, []).append(comparison)
    return [*rows, *families.items()]


def groups_of(results: Results) -> dict[str, tuple[str, ...]]:
    """Map each group to its tasks, if the signature lists them."""
    listed = results.signature.get("groups")
    if isinstance(listed, Mapping) and all(
        isinstance(tasks, Sequence) and not isinstance(tasks, str) for tasks in listed.values()
    ):
        return {str(name): tuple(map(str, tasks)) for name, tasks in listed.items()}
    return {}


def members_of(results: Results) -> dict[str, str]:
    """Map each task to the smallest group that pools it.

    The signature lists the groups. If it does not, a task that is no gate unit belongs to its family's group that is
    one.
    """
    if isinstance(results.signature.get("groups"), Mapping):
        largest_first = sorted(groups_of(results).items(), key=lambda item: -len(item[1]))
        return {task: name for name, tasks in largest_first for task in tasks}
    family = {
        comparison.family: comparison.task for comparison in results.comparisons if comparison.level == Level.GROUP
    }
    judged = [c for c in results.comparisons if c.candidate in results.candidates]
    outside = {c.task for c in judged if c.level == Level.TASK and c.primary and not c.unit and c.family in family}
    targets = set(targets_of(results).values())
    return {
        c.task: family[c.family] for c in results.comparisons if c.level == Level.TASK and c.task in outside - targets
    }
