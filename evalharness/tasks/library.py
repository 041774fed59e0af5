"""Folders of task files to tasks, groups and suites by name, tag, glob or path.

Names are found by looking at the top-level lines of each file; a file is parsed when something asks for what it
defines, and all of them are parsed only when a tag is asked for. Folders that the user names override those that are
shipped or that other packages bring (entry points `evalharness.tasks`).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from evalharness import registry
from evalharness.errors import TaskError, did_you_mean
from evalharness.paths import shipped
from evalharness.records.tasks import Group, Suite, Task
from evalharness.tasks.groups import Member, check_suite, group_from, members_of, suite_from
from evalharness.tasks.loading import Parsed, load, with_includes
from evalharness.tasks.spec import task_from

SKIPPED = {"__pycache__", ".ipynb_checkpoints"}
HEAD = re.compile(  # a top-level `task: NAME`, `group: NAME`, `suite: NAME` or `class: …`, plain or in quotes
    rb"""^["']?(task|group|suite|class)["']?[ \t]*:[ \t]*"""
    rb"""(?:["']([^"'\r\n]+)["']|(![^#\r\n]+|[^\s#\[{&*!|>"'][^#\r\n]*?))?[ \t]*(?:#[^\r\n]*)?\r?$""",
    re.M,
)
DEEPEST = 10  # groups within groups

EntryKind = Literal["task", "group", "suite"]
KINDS: tuple[EntryKind, ...] = ("suite", "group", "task")  # a group has the key `task`, too


@dataclass(slots=True)
class _Entry:
    kind: EntryKind
    path: Path
    twin: Path | None = None  # another file of the same folder, or of another package, with the same name
    values: Mapping[str, Any] | None = None  # what a group wrote out or changed; None: what the file says
    pushed: Mapping[str, Any] = field(default_factory=dict)  # keys that a group around this group changes in its tasks


class Library:
    """Every task, group and suite that can be named. `include`: more folders (or files), whose names win over the
    shipped ones.

    Suites have names of their own: a suite may be called like a group, a tag or a task.
    """

    def __init__(self, include: Sequence[Path] = ()) -> None:
        self._entries: dict[str, _Entry] = {}
        self._suites: dict[str, _Entry] = {}
        self._files: dict[Path, dict[str, Any]] = {}
        self._parsed: Parsed = {}
        self._tasks: dict[str, Task] = {}
        self._tags: dict[str, list[str]] | None = None
        self._looked_into: set[str] = set()
        self._index(shipped("tasks"))
        for folder in registry.task_folders():
            self._index(folder, keeps_names=True)
        for root in include:
            self._index(root)

    def names(self) -> list[str]:
        """Names of all tasks that files define, sorted."""
        return sorted(name for name, entry in self._entries.items() if entry.kind == "task" and entry.values is None)

    def groups(self) -> list[str]:
        """Names of all groups that files define, sorted."""
        return sorted(name for name, entry in self._entries.items() if entry.kind == "group" and entry.values is None)

    def suites(self) -> list[str]:
        """Names of all suites, sorted."""
        return sorted(self._suites)

    def tags(self) -> dict[str, list[str]]:
        """Tag to the names of its tasks, sorted. Files that cannot be read have no tags."""
        if self._tags is None:
            found: dict[str, list[str]] = {}
            for name in self.names():
                for tag in self._tags_of(name):
                    found.setdefault(tag, []).append(name)
            self._tags = found
        return self._tags

    def is_group(self, name: str) -> bool:
        """Does a group have this name?"""
        return name in self._entries and self._entries[name].kind == "group"

    def task(self, name: str) -> Task:
        """The task of this name. Raises TaskError for an unknown name or a wrong file."""
        if name not in self._tasks:
            values, path = self._values(name, "task")
            self._tasks[name] = task_from(values, path)
        return self._tasks[name]

    def definition(self, name: str) -> Mapping[str, Any]:
        """The task's mapping, its includes merged. Raises TaskError for an unknown name or a file that cannot be
        read.
        """
        return self._values(name, "task")[0]

    def group(self, name: str) -> Group:
        """The group of this name, its members as leaf tasks. Raises TaskError as `task` does, and where the members do
        not exist.
        """
        values, path = self._values(name, "group")
        leaves = self._leaves(name, 0)
        return group_from(values, path, [self.task(leaf) for leaf in leaves])

    def suite(self, name: str) -> Suite:
        """The suite of this name, or of the YAML file at this path, its groups resolved to member tasks. Raises
        TaskError.
        """
        if name not in self._suites and _is_path(name):
            _, name = self.add(Path(name))
        values, path = self._values(name, "suite")
        suite = suite_from(values, path)
        tasks: dict[str, None] = {}
        groups: dict[str, Group] = {}
        for member in suite.tasks:
            tasks.update(dict.fromkeys(self._expand(member, path)))
            for inner in self._pooled(member, 0):
                groups.setdefault(inner, self.group(inner))
        check_suite(suite, path, [self.task(task) for task in tasks], groups)
        limits, fewshots = (self._of_members(named) for named in (suite.limits, suite.fewshots))
        return replace(suite, tasks=tuple(tasks), groups=tuple(groups.values()), limits=limits, fewshots=fewshots)

    def select(self, patterns: Sequence[str]) -> tuple[Task, ...]:
        """The tasks that names, globs, tags, groups or paths of YAML files stand for, each once, in order.

        A glob passes over variants of other tasks, unless it matches nothing else. Raises TaskError where a pattern
        stands for none.
        """
        names: dict[str, None] = {}
        for pattern in patterns:
            names.update(dict.fromkeys(self._expand(pattern)))
        return tuple(self.task(name) for name in names)

    def add(self, path: Path) -> tuple[EntryKind, str]:
        """Make one file known, and say what it defines. Its name wins over others. Raises TaskError where it defines
        nothing.
        """
        defined = _kind_of(self._read(path))
        if defined is None:
            raise TaskError(path, "defines no task, group or suite", "a key `task:` with a name would be right")
        kind, name = defined
        named = self._named(kind)
        if name not in named or named[name].path != path:
            named[name] = _Entry(kind, path)
            self._tasks.pop(name, None)
            self._tags = None
        return defined

    # ---- names to files

    def _index(self, root: Path, keeps_names: bool = False) -> None:
        """Make known what the files below `root` define. It wins over what is known under the same names or, with
        `keeps_names`, makes them ambiguous.
        """
        if not root.exists():
            raise TaskError(root, "does not exist", "--include-path names a folder of task files, or one task file")
        found: dict[tuple[bool, str], _Entry] = {}
        for path in [root] if root.is_file() else _yaml_files(root):
            for name, entry in self._defined_in(path):
                key = entry.kind == "suite", name
                if key in found:
                    found[key].twin = found[key].twin or path
                else:
                    found[key] = entry
        for (_, name), entry in found.items():
            named = self._named(entry.kind)
            if keeps_names and name in named:
                named[name].twin = named[name].twin or entry.path
            else:
                named[name] = entry

    def _named(self, kind: EntryKind) -> dict[str, _Entry]:
        return self._suites if kind == "suite" else self._entries

    def _defined_in(self, path: Path) -> Iterator[tuple[str, _Entry]]:
        """What a file defines, by its top-level lines; by parsing it where the lines do not say."""
        try:
            heads = {
                match[1].decode(): (match[2] or match[3] or b"").decode(errors="replace").strip()
                for match in HEAD.finditer(path.read_bytes())
            }
        except OSError:
            return
        defined = _kind_of({key: name for key, name in heads.items() if name})
        if defined is None:
            try:
                defined = _kind_of(self._read(path))
            except TaskError:
                return
        if defined is not None:
            yield defined[1], _Entry(defined[0], path)

    def _values(self, name: str, kind: EntryKind) -> tuple[Mapping[str, Any], Path]:
        entry = self._named(kind).get(name)
        if (entry is None or entry.kind != kind) and kind != "suite" and self._inside(name):
            entry = self._entries[name]
        if entry is None or entry.kind != kind:
            known = [other for other, entry in self._named(kind).items() if entry.kind == kind]
            other = next((each[name].kind for each in (self._entries, self._suites) if name in each), "")
            raise TaskError(
                name, f"no {kind} has this name{f' (it is a {other})' if other else ''}", did_you_mean(name, known)
            )
        if entry.twin:
            raise TaskError(
                entry.path, f"{kind} {name!r} is also defined in {entry.twin}", "give one of them another name"
            )
        return self._read(entry.path) if entry.values is None else entry.values, entry.path

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._files:
            self._files[path] = load(path, self._parsed)
        return self._files[path]

    # ---- what a word stands for

    def _of_members(self, named: Mapping[str, int]) -> dict[str, int]:
        """Numbers by task, where a group's number is that of each of its tasks which has none of its own."""
        groups = {
            leaf: number for name, number in named.items() if self.is_group(name) for leaf in self._leaves(name, 0)
        }
        return groups | {name: number for name, number in named.items() if not self.is_group(name)}

    def _expand(self, pattern: str, where: Path | None = None) -> list[str]:
        """The names of the tasks that a word stands for; `where`: the file that uses it."""
        if pattern in self._entries or self._inside(pattern):
            return self._leaves(pattern, 0)
        if _is_path(pattern):
            kind, name = self.add(Path(pattern))
            if kind == "suite":
                raise TaskError(where or pattern, f"{pattern} is a suite, not a task", f"use --suite {pattern}")
            return self._leaves(name, 0)
        if any(sign in pattern for sign in "*?["):
            matches = fnmatch.filter(self.names(), pattern)
            plain = [name for name in matches if self.task(name).variant_of is None]
            if plain or matches:
                return plain or matches
        elif pattern in self.tags():
            return self.tags()[pattern]
        if pattern in self._suites:
            raise TaskError(where or pattern, f"{pattern} is a suite, not a task", f"use --suite {pattern}")
        known = [*self.names(), *self.groups(), *self.tags()]
        raise TaskError(where or pattern, f"no task, group or tag is called {pattern!r}", did_you_mean(pattern, known))

    def _inside(self, name: str) -> bool:
        """Is it the name GROUP::NAME of something that a group writes out or changes? Reading the group makes it
        known.
        """
        outer = name.partition("::")[0]
        if "::" in name and outer not in self._looked_into and self.is_group(outer):
            self._looked_into.add(outer)
            self._leaves(outer, 0)
        return name in self._entries

    def _leaves(self, name: str, depth: int) -> list[str]:
        """The tasks of a name: itself, or what is in the group."""
        if not self.is_group(name):
            self._values(name, "task")
            return [name]
        return list(
            dict.fromkeys(leaf for child in self._children(name, depth) for leaf in self._leaves(child, depth + 1))
        )

    def _children(self, name: str, depth: int) -> list[str]:
        """Names of the tasks and groups that a group lists; those that it writes out or changes become known as
        GROUP::NAME.
        """
        values, path = self._values(name, "group")
        if depth > DEEPEST:
            raise TaskError(path, f"the group {name!r} contains itself", f"groups nest at most {DEEPEST} deep")
        found: list[str] = []
        for member in members_of(values, path, self._entries[name].pushed):
            if member.name in self._entries:
                found.append(self._changed(member.name, name, member.changes))
            elif member.inline is None or member.name in self.tags():
                found += [self._changed(each, name, member.changes) for each in self._expand(member.name, path)]
            else:
                found.append(self._written_out(member, name, path))
        return found

    def _changed(self, name: str, group: str, changes: Mapping[str, Any]) -> str:
        """A task or group as a group changes it, under a name of its own; itself where nothing is changed."""
        if not changes:
            return name
        entry, inside = self._entries[name], f"{group}::{name}"
        values, place = self._values(name, entry.kind)
        if entry.kind == "group":
            return self._derive(
                inside, _Entry("group", place, None, {**values, "group": inside}, {**entry.pushed, **changes})
            )
        return self._derive(inside, _Entry("task", place, None, {**values, **changes, "task": inside}))

    def _written_out(self, member: Member, group: str, path: Path) -> str:
        inside, values = f"{group}::{member.name}", member.inline or {}
        if "group" in values:  # what is around it wins over its own keys, as in lm-eval
            return self._derive(inside, _Entry("group", path, None, {**values, "group": inside}, member.around))
        return self._derive(
            inside, _Entry("task", path, None, with_includes({**member.changes, "task": inside}, path, self._parsed))
        )

    def _derive(self, name: str, entry: _Entry) -> str:
        before = self._entries.get(name)
        if before is not None and (before.kind, before.values, before.pushed) != (
            entry.kind,
            entry.values,
            entry.pushed,
        ):
            raise TaskError(entry.path, f"{name!r} stands for two different things", "give one of them another name")
        self._entries[name] = entry
        return name

    def _pooled(self, name: str, depth: int) -> list[str]:
        """The groups at and below a name whose rows are pooled to one score."""
        if not self.is_group(name) or depth > DEEPEST:
            return []
        inner = [found for child in self._children(name, depth) for found in self._pooled(child, depth + 1)]
        return [name, *inner] if self._values(name, "group")[0].get("aggregate_metric_list") else inner

    def _tags_of(self, name: str) -> list[str]:
        try:
            tags = self._read(self._entries[name].path).get("tag")
        except TaskError:
            return []
        listed = [tags] if isinstance(tags, str) else tags
        return [tag for tag in listed if isinstance(tag, str)] if isinstance(listed, list) else []


def _kind_of(values: Mapping[str, Any]) -> tuple[EntryKind, str] | None:
    """What a mapping defines, and its name. With `class` it is a task whatever else it says, as in lm-eval."""
    for kind in ("task",) if "class" in values else KINDS:
        if isinstance(name := values.get(kind), str):
            return kind, name
    return None


def _yaml_files(root: Path) -> list[Path]:
    found = (path for path in root.rglob("*.yaml") if path.is_file() and SKIPPED.isdisjoint(path.parts))
    return sorted(found, key=lambda path: path.as_posix())


def _is_path(text: str) -> bool:
    return text.endswith((".yaml", ".yml")) or (("/" in text or "\\" in text) and Path(text).is_file())
