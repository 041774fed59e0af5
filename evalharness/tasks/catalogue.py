"""Index task, group and suite files by the names that they define; a file is parsed when its definition is needed.

The index is made from the top-level lines of each file. A suite may have the same name as a group or a task.
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
    """What a file defines. The value is the key of its name in the file.

    A group also has the key `task`, so `group` is checked first.
    """

    SUITE = "suite"
    GROUP = "group"
    TASK = "task"


@dataclass(slots=True)
class Definition:
    """The place where a task, group or suite is defined.

    `path` is the file. `duplicate` is another file that defines the same name, in the same folder or in another
    package; None if there is none. `values` is the definition itself if a group has it inside or changes it; None if
    it is the whole content of the file. `pushed` are the keys that an outer group changes in the tasks of this group.
    """

    kind: DefinitionKind
    path: Path
    duplicate: Path | None = None
    values: Mapping[str, Any] | None = None
    pushed: Mapping[str, Any] = field(default_factory=dict)


class Catalogue:
    """All definitions of tasks, groups and suites, by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.suites: dict[str, Definition] = {}
        self.parsed: Parsed = {}
        self._files: dict[Path, dict[str, Any]] = {}

    def names(self, kind: DefinitionKind) -> list[str]:
        """Return the names of all definitions of this kind, sorted."""
        definitions = self._of_kind(kind)
        return sorted(name for name, each in definitions.items() if each.kind == kind and each.values is None)

    def index(self, root: Path, keeps_names: bool = False) -> None:
        """Add the definitions in the files below `root`. They override those of the same names or, with `keeps_names`,
        make them ambiguous. Raises TaskError for a path that does not exist.
        """
        if not root.exists():
            raise TaskError(root, "does not exist", "--include-path names a folder of task files, or one task file")
        new: dict[tuple[bool, str], Definition] = {}
        for path in [root] if root.is_file() else yaml_files(root):
            if (defined := self._defined_in(path)) is not None:
                first = new.setdefault((defined[0] == DefinitionKind.SUITE, defined[1]), Definition(defined[0], path))
                first.duplicate = first.duplicate or (path if first.path != path else None)
        for (_, name), definition in new.items():
            definitions = self._of_kind(definition.kind)
            if keeps_names and name in definitions:
                definitions[name].duplicate = definitions[name].duplicate or definition.path
            else:
                definitions[name] = definition

    def add(self, path: Path) -> tuple[DefinitionKind, str]:
        """Add one file, and return the kind and name of its definition, which overrides others. Raises TaskError if it
        defines nothing.
        """
        defined = _kind_and_name(self.read(path))
        if defined is None:
            raise TaskError(path, "defines no task, group or suite", "a key `task:` with a name would be right")
        kind, name = defined
        definitions = self._of_kind(kind)
        if name not in definitions or definitions[name].path != path:
            definitions[name] = Definition(kind, path)
        return defined

    def derive(self, name: str, definition: Definition) -> str:
        """Add a definition that a group has inside or changes. Raises TaskError if the name is in use."""
        before = self.definitions.setdefault(name, definition)
        if (before.kind, before.values, before.pushed) != (definition.kind, definition.values, definition.pushed):
            raise TaskError(
                definition.path, f"{name!r} stands for two different things", "give one of them another name"
            )
        return name

    def values(self, name: str, kind: DefinitionKind) -> tuple[Mapping[str, Any], Path]:
        """Return the mapping of this name and its file. Raises TaskError for an unknown or ambiguous name, or an
        unreadable file.
        """
        definitions = self._of_kind(kind)
        definition = definitions.get(name)
        if definition is None or definition.kind != kind:
            other = next(
                (f" (it is a {each[name].kind})" for each in (self.definitions, self.suites) if name in each), ""
            )
            raise TaskError(
                name,
                f"no {kind} has this name{other}",
                did_you_mean(name, [each for each in definitions if definitions[each].kind == kind]),
            )
        if definition.duplicate:
            raise TaskError(
                definition.path,
                f"{kind} {name!r} is also defined in {definition.duplicate}",
                "give one of them another name",
            )
        return self.read(definition.path) if definition.values is None else definition.values, definition.path

    def read(self, path: Path) -> dict[str, Any]:
        """Return a file's mapping with its includes merged, read once. Raises TaskError."""
        if path not in self._files:
            self._files[path] = load(path, self.parsed)
        return self._files[path]

    def _of_kind(self, kind: DefinitionKind) -> dict[str, Definition]:
        return self.suites if kind == DefinitionKind.SUITE else self.definitions

    def _defined_in(self, path: Path) -> tuple[DefinitionKind, str] | None:
        """Return the kind and name of a file's definition, from its top-level lines, else by parsing it. None if it
        cannot be read.
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
    """Return the kind and name of a mapping's definition. With `class` it is a task, as in lm-eval."""
    for kind in (DefinitionKind.TASK,) if "class" in values else DefinitionKind:
        if isinstance(name := values.get(kind), str):
            return kind, name
    return None


def yaml_files(root: Path) -> list[Path]:
    """Return the YAML files below a folder, sorted by path."""
    files = (path for path in root.rglob("*.yaml") if path.is_file() and SKIPPED.isdisjoint(path.parts))
    return sorted(files, key=Path.as_posix)
