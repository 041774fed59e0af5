"""Find and read the tables of a repository's `evalharness.toml` and `pyproject.toml`, without checking their values."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from os.path import lexists, relpath
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError, did_you_mean

OWN, PROJECT = "evalharness.toml", "pyproject.toml"
WITHIN = {PROJECT: ("tool", "evalharness")}  # the keys above our tables; none in every other file
GATE = "gate"
DEFAULTS = "defaults"  # options of every command that has them
COMMANDS = ("run", "train", "sweep", "repair", "plan", "trace", "bisect", "compare")  # whose options a file may state
KNOWN = (GATE, DEFAULTS, *COMMANDS)


def stated(name: str, start: Path | None = None) -> dict[Path, Mapping[str, Any]]:
    """Return the tables `name` of the nearest folder that has one, by file; the last file overrides the first.

    The search begins at `start` (None: the working directory) and goes up to the root of its repository. Raises
    UsageError for a file that cannot be read, and for a table of an unknown name.
    """
    for folder in _up_to_repository((start or Path()).absolute()):
        tables = {folder / file: table_of(folder / file, name) for file in (PROJECT, OWN) if lexists(folder / file)}
        if stated := {path: table for path, table in tables.items() if table is not None}:
            return stated
    return {}


def table_of(path: Path, name: str) -> Mapping[str, Any] | None:
    """Return the table `name` of one file; None if it has none. A file called pyproject.toml has it under
    [tool.evalharness]. Raises UsageError.
    """
    try:
        document: Any = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "name a file that can be read") from error
    except ValueError as error:
        raise UsageError(path, f"not TOML ({error})", "mend it there: it may hold the gate's policy") from error
    within = WITHIN.get(path.name, ())
    for depth, key in enumerate(within):
        document = _table(document, path, within[:depth]).get(key, {})
    tables = _table(document, path, within)
    if unknown := sorted(set(tables) - set(KNOWN)):
        where = ".".join((*within, unknown[0]))
        raise UsageError(f"{path}: {where}", "there is no such table", did_you_mean(unknown[0], KNOWN))
    return _table(tables[name], path, (*within, name)) if name in tables else None


def heading(path: Path, name: str) -> str:
    """Return the heading of the table `name` in this file: "gate", or "tool.evalharness.gate" in a pyproject.toml."""
    return ".".join((*WITHIN.get(path.name, ()), name))


def place(path: Path, name: str, key: str) -> str:
    """Return the text by which a message names one value: "../evalharness.toml: run.limit"."""
    return f"{relpath(path)}: {heading(path, name)}.{key}"


def _table(document: Any, path: Path, keys: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise UsageError(f"{path}: {'.'.join(keys)}", "not a table", f"write [{'.'.join(keys)}]")
    return document


def _up_to_repository(start: Path) -> list[Path]:
    """Return the folder and those above it up to the root of its repository; only the folder itself if it is
    in none.
    """
    folders = [start, *start.parents]
    root = next((at for at, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    return folders[: root + 1]
