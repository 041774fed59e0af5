"""Look up tasks, groups and suites by name, tag, glob or path.

A file is parsed when its definition is needed; a tag needs all files. Folders that the user names override those that
are shipped or that other packages add (entry points `evalharness.tasks`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness import registry
from evalharness.errors import TaskError, did_you_mean
from evalharness.paths import shipped
from evalharness.records.tasks import Group, Suite, Task
from evalharness.tasks.catalogue import Catalogue, Definition, DefinitionKind
from evalharness.tasks.groups import GroupMember, check_suite, group_from, members_of, suite_from
from evalharness.tasks.loading import with_includes
from evalharness.tasks.spec import task_from

DEEPEST = 10  # groups within groups


class Library:
    """All tasks, groups and suites. `include` are more folders or files, whose names override the shipped ones."""

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._catalogue = Catalogue()
        self._tasks: dict[str, Task] = {}
        self._tags: dict[str, list[str]] | None = None
        self._expanded: set[str] = set()  # groups whose inner definitions are in the catalogue
        self._catalogue.index(shipped("tasks"))
        for folder in registry.task_folders():
            self._catalogue.index(folder, keeps_names=True)
        for root in include:
            self._catalogue.index(root)

    def names(self) -> list[str]:
        """Return the names of all tasks that files define, sorted."""
        return self._catalogue.names(DefinitionKind.TASK)

    def groups(self) -> list[str]:
        """Return the names of all groups that files define, sorted."""
        return self._catalogue.names(DefinitionKind.GROUP)

    def suites(self) -> list[str]:
        """Return the names of all suites, sorted."""
        return self._catalogue.names(DefinitionKind.SUITE)

    def tags(self) -> dict[str, list[str]]:
        """Return the names of the tasks of each tag, sorted. Files that cannot be read have no tags."""
        if self._tags is None:
            self._tags = {}
            for name in self.names():
                for tag in self._tags_of(name):
                    self._tags.setdefault(tag, []).append(name)
        return self._tags

    def is_group(self, name: str) -> bool:
        """Return whether a group has this name."""
        return name in self._catalogue.definitions and self._catalogue.definitions[name].kind == DefinitionKind.GROUP

    def task(self, name: str) -> Task:
        """Return the task of this name. Raises TaskError for an unknown name, one of several tasks, or a wrong file."""
        if name not in self._tasks:
            self._check_is_one(name)
            self._tasks[name] = task_from(*self._values(name, DefinitionKind.TASK))
        return self._tasks[name]

    def definition(self, name: str) -> Mapping[str, Any]:
        """Return the mapping of a task's file, with its includes merged.

        Raises TaskError for an unknown name or a file that cannot be read.
        """
        return self._values(name, DefinitionKind.TASK)[0]

    def group(self, name: str) -> Group:
        """Return the group of this name, with the tasks in it and in the groups inside it as members.

        Raises TaskError as `task` does, and for missing members.
        """
        values, path = self._values(name, DefinitionKind.GROUP)
        return group_from(values, path, [self.task(leaf) for leaf in self._leaves(name)])

    def suite(self, name: str) -> Suite:
        """Return the suite of this name, or of the YAML file at this path, with its groups resolved to tasks. Raises
        TaskError.
        """
        if name not in self._catalogue.suites and _is_path(name):
            _, name = self.add(Path(name))
        values, path = self._values(name, DefinitionKind.SUITE)
        suite = suite_from(values, path)
        tasks: dict[str, None] = {}
        groups: dict[str, Group] = {}
        for member in suite.tasks:
            tasks |= dict.fromkeys(self._expand(member, path))
            groups |= {inner: self.group(inner) for inner in self._pooled(member) if inner not in groups}
        check_suite(suite, path, [self.task(task) for task in tasks], groups)
        limits, fewshots = self._of_members(suite.limits), self._of_members(suite.fewshots)
        return replace(suite, tasks=tuple(tasks), groups=tuple(groups.values()), limits=limits, fewshots=fewshots)

    def select(self, patterns: Sequence[str]) -> tuple[Task, ...]:
        """Return the tasks that names, globs, tags, groups or paths of YAML files stand for, each once, in order.

        A glob skips variants of other tasks, unless it matches nothing else. Raises TaskError for a pattern without a
        match.
        """
        names = dict.fromkeys(name for pattern in patterns for name in self._expand(pattern))
        return tuple(self.task(name) for name in names)

    def add(self, path: Path) -> tuple[DefinitionKind, str]:
        """Add one file, and return the kind and name of its definition, which overrides others. Raises TaskError if it
        defines nothing.
        """
        kind, name = self._catalogue.add(path)
        self._tasks.pop(name, None)
        self._tags = None
        return kind, name

    def _check_is_one(self, name: str) -> None:
        """Raise TaskError, naming its tasks, for a group or suite."""
        if self._is_known(name) and not self.is_group(name):
            return
        if name in self._catalogue.suites:
            kind, tasks = DefinitionKind.SUITE, list(self.suite(name).tasks)
        elif self.is_group(name):
            kind, tasks = DefinitionKind.GROUP, self._leaves(name)
        else:
            return
        examples = ", ".join(tasks[:12]) + (", …" if len(tasks) > 12 else "")
        raise TaskError(name, f"is a {kind}, not a task", f"name one of its tasks ({examples})")

    def _values(self, name: str, kind: DefinitionKind) -> tuple[Mapping[str, Any], Path]:
        if kind != DefinitionKind.SUITE:
            self._is_known(name)
        return self._catalogue.values(name, kind)

    def _is_known(self, name: str) -> bool:
        """Return whether the text is the name of a task or group, or GROUP::NAME of one that a group defines or
        changes. That needs the group expanded.
        """
        outer, inside, _ = name.partition("::")
        if inside and outer not in self._expanded and self.is_group(outer):
            self._expanded.add(outer)
            self._leaves(outer)
        return name in self._catalogue.definitions

    def _of_members(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """Return numbers by task: a group's number holds for each of its tasks without a number of its own."""
        groups = {leaf: n for name, n in numbers.items() if self.is_group(name) for leaf in self._leaves(name)}
        return groups | {name: n for name, n in numbers.items() if not self.is_group(name)}

    def _expand(self, pattern: str, where: Path | None = None) -> list[str]:
        """Return the names of the tasks that a word stands for. `where` is the file that uses the word."""
        if self._is_known(pattern):
            return self._leaves(pattern)
        if _is_path(pattern):
            kind, name = self.add(Path(pattern))
            if kind == DefinitionKind.SUITE:
                raise TaskError(where or pattern, f"{pattern} is a suite, not a task", f"use --suite {pattern}")
            return self._leaves(name)
        if any(sign in pattern for sign in "*?["):
            matches = fnmatch.filter(self.names(), pattern)
            plain = [name for name in matches if self.task(name).variant_of is None]
            if plain or matches:
                return plain or matches
        elif pattern in self.tags():
            return self.tags()[pattern]
        if pattern in self._catalogue.suites:
            raise TaskError(where or pattern, f"{pattern} is a suite, not a task", f"use --suite {pattern}")
        names = [*self.names(), *self.groups(), *self.tags()]
        raise TaskError(where or pattern, f"no task, group or tag is called {pattern!r}", did_you_mean(pattern, names))

    def _leaves(self, name: str, depth: int = 0, cache: dict[str, list[str]] | None = None) -> list[str]:
        """Return the tasks of a name: the task itself, or all tasks in the group. `cache` maps groups to their tasks,
        as far as known.
        """
        cache = {} if cache is None else cache
        if name in cache:
            return cache[name]
        if not self.is_group(name):
            self._values(name, DefinitionKind.TASK)
            return [name]
        leaves = (leaf for child in self._children(name, depth) for leaf in self._leaves(child, depth + 1, cache))
        cache[name] = list(dict.fromkeys(leaves))
        return cache[name]

    def _children(self, name: str, depth: int) -> list[str]:
        """Return the names of the tasks and groups that a group lists; those that it defines or changes get the name
        GROUP::NAME.
        """
        values, path = self._values(name, DefinitionKind.GROUP)
        if depth > DEEPEST:
            raise TaskError(path, f"the group {name!r} contains itself", f"groups nest at most {DEEPEST} deep")
        children: list[str] = []
        for member in members_of(values, path, self._catalogue.definitions[name].pushed):
            if member.name in self._catalogue.definitions:
                children.append(self._changed(member.name, name, member.changes))
            elif member.inline is None or member.name in self.tags():
                children += [self._changed(each, name, member.changes) for each in self._expand(member.name, path)]
            else:
                children.append(self._written_out(member, name, path))
        return children

    def _changed(self, name: str, group: str, changes: Mapping[str, Any]) -> str:
        """Return the new name of a task or group that a group changes; its old name if nothing changes."""
        if not changes:
            return name
        definition, inside = self._catalogue.definitions[name], f"{group}::{name}"
        values, path = self._values(name, definition.kind)
        if definition.kind == DefinitionKind.GROUP:
            changed = Definition(
                DefinitionKind.GROUP, path, None, {**values, "group": inside}, {**definition.pushed, **changes}
            )
        else:
            changed = Definition(DefinitionKind.TASK, path, None, {**values, **changes, "task": inside})
        return self._catalogue.derive(inside, changed)

    def _written_out(self, member: GroupMember, group: str, path: Path) -> str:
        inside, values = f"{group}::{member.name}", member.inline or {}
        if "group" in values:  # what is around it wins over its own keys, as in lm-eval
            definition = Definition(DefinitionKind.GROUP, path, None, {**values, "group": inside}, member.around)
        else:
            own = {**member.changes, "task": inside}
            definition = Definition(DefinitionKind.TASK, path, None, with_includes(own, path, self._catalogue.parsed))
        return self._catalogue.derive(inside, definition)

    def _pooled(self, name: str, depth: int = 0) -> list[str]:
        """Return the groups at and below a name that have a pooled score."""
        if not self.is_group(name) or depth > DEEPEST:
            return []
        inner = [group for child in self._children(name, depth) for group in self._pooled(child, depth + 1)]
        return [name, *inner] if self._values(name, DefinitionKind.GROUP)[0].get("aggregate_metric_list") else inner

    def _tags_of(self, name: str) -> list[str]:
        try:
            tags = self._catalogue.read(self._catalogue.definitions[name].path).get("tag")
        except TaskError:
            return []
        listed = [tags] if isinstance(tags, str) else tags
        return [tag for tag in listed if isinstance(tag, str)] if isinstance(listed, list) else []


def _is_path(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) or (("/" in text or "\\" in text) and Path(text).is_file())
