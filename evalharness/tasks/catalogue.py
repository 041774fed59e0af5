"""Know by name what task, group and suite files define, without parsing a file before its definition is wanted.

Names are found by looking at the top-level lines of each file. Suites have names of their own: a suite may be called
like a group or a task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks.loading import Parsed, load

SKIPPED = {"__pycache__", ".ipynb_checkpoints"}
HEAD = re.compile(  # a top-level `task: NAME`, `group: NAME`, `suite: NAME` or `class: …`, plain or in quotes
    rb"""^["']?(task|group|suite|class)["']?[ \t]*:[ \t]*"""
    rb"""(?:["']([^"'\r\n]+)["']|(![^#\r\n]+|[^\s#\[{&*!|>"'][^#\r\n]*?))?[ \t]*(?:#[^\r\n]*)?\r?$""",
    re.M,
)


class DefinitionKind(StrEnum):
    """What a file defines; the value is the key that its name stands under. A group has the key `task`, too, and is
    looked for before it.
    """

    SUITE = "suite"
    GROUP = "group"
    TASK = "task"


@dataclass(slots=True)
class Definition:
    """Where a name is defined. `duplicate`: another file of the same folder, or of another package, with the same name;
    `values`: what a group wrote out or changed, None: what the file says; `pushed`: keys that a group around this group
    changes in its tasks.
    """

    kind: DefinitionKind
    path: Path
    duplicate: Path | None = None
    values: Mapping[str, Any] | None = None
    pushed: Mapping[str, Any] = field(default_factory=dict)


class Catalogue:
    """The definitions of tasks and groups, and of suites, by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.suites: dict[str, Definition] = {}
        self.parsed: Parsed = {}
        self._files: dict[Path, dict[str, Any]] = {}

    def names(self, kind: DefinitionKind) -> list[str]:
        """Names of this kind that files define, sorted."""
        known = self._of_kind(kind)
        return sorted(name for name, each in known.items() if each.kind == kind and each.values is None)

    def index(self, root: Path, keeps_names: bool = False) -> None:
        """Make known what the files below `root` define. It wins over what is known under the same names or, with
        `keeps_names`, makes them ambiguous. Raises TaskError for a path that does not exist.
        """
        if not root.exists():
            raise TaskError(root, "does not exist", "--include-path names a folder of task files, or one task file")
        new: dict[tuple[bool, str], Definition] = {}
        for path in [root] if root.is_file() else yaml_files(root):
            if (defined := self._defined_in(path)) is not None:
                first = new.setdefault((defined[0] == DefinitionKind.SUITE, defined[1]), Definition(defined[0], path))
                first.duplicate = first.duplicate or (path if first.path != path else None)
        for (_, name), definition in new.items():
            known = self._of_kind(definition.kind)
            if keeps_names and name in known:
                known[name].duplicate = known[name].duplicate or definition.path
            else:
                known[name] = definition

    def add(self, path: Path) -> tuple[DefinitionKind, str]:
        """Make one file known, and say what it defines. Its name wins over others. Raises TaskError where it defines
        nothing.
        """
        defined = _kind_and_name(self.read(path))
        if defined is None:
            raise TaskError(path, "defines no task, group or suite", "a key `task:` with a name would be right")
        kind, name = defined
        known = self._of_kind(kind)
        if name not in known or known[name].path != path:
            known[name] = Definition(kind, path)
        return defined

    def derive(self, name: str, definition: Definition) -> str:
        """Make known what a group writes out or changes. Raises TaskError where the name stands for something else."""
        before = self.definitions.setdefault(name, definition)
        if (before.kind, before.values, before.pushed) != (definition.kind, definition.values, definition.pushed):
            raise TaskError(
                definition.path, f"{name!r} stands for two different things", "give one of them another name"
            )
        return name

    def values(self, name: str, kind: DefinitionKind) -> tuple[Mapping[str, Any], Path]:
        """The mapping of this name and its file. Raises TaskError for an unknown or ambiguous name, or an unreadable
        file.
        """
        known = self._of_kind(kind)
        definition = known.get(name)
        if definition is None or definition.kind != kind:
            other = next(
                (f" (it is a {each[name].kind})" for each in (self.definitions, self.suites) if name in each), ""
            )
            raise TaskError(
                name,
                f"no {kind} has this name{other}",
                did_you_mean(name, [each for each in known if known[each].kind == kind]),
            )
        if definition.duplicate:
            raise TaskError(
                definition.path,
                f"{kind} {name!r} is also defined in {definition.duplicate}",
                "give one of them another name",
            )
        return self.read(definition.path) if definition.values is None else definition.values, definition.path

    def read(self, path: Path) -> dict[str, Any]:
        """A file's mapping with its includes merged, read once. Raises TaskError."""
        if path not in self._files:
            self._files[path] = load(path, self.parsed)
        return self._files[path]

    def _of_kind(self, kind: DefinitionKind) -> dict[str, Definition]:
        return self.suites if kind == DefinitionKind.SUITE else self.definitions

    def _defined_in(self, path: Path) -> tuple[DefinitionKind, str] | None:
        """What a file defines, by its top-level lines; by parsing it where the lines do not say. None where it cannot
        be read.
        """
        try:
            heads = {
                match[1].decode(): (match[2] or match[3] or b"").decode(errors="replace").strip()
                for match in HEAD.finditer(path.read_bytes())
            }
            return _kind_and_name({key: name for key, name in heads.items() if name}) or _kind_and_name(self.read(path))
        except (OSError, TaskError):
            return None


def _kind_and_name(values: Mapping[str, Any]) -> tuple[DefinitionKind, str] | None:
    """The kind and name of what a mapping defines. With `class` it is a task whatever else it says, as in lm-eval."""
    for kind in (DefinitionKind.TASK,) if "class" in values else DefinitionKind:
        if isinstance(name := values.get(kind), str):
            return kind, name
    return None


def yaml_files(root: Path) -> list[Path]:
    """The YAML files below a folder, sorted by path."""
    files = (path for path in root.rglob("*.yaml") if path.is_file() and SKIPPED.isdisjoint(path.parts))
    return sorted(files, key=Path.as_posix)
