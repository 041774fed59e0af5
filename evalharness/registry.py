"""Find engines, metrics, readers and stages by name: in our tables and in other packages' entry points.

A piece is one such class or function. A table maps names to "module:attribute". Each of our packages has its own,
`REGISTRY: dict[str, str]`, in its `__init__`, with only its own files. A module is imported when its piece is looked
up.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from evalharness.errors import MissingPackageError, UsageError, did_you_mean

HF = "accelerate datasets evaluate huggingface_hub peft safetensors tokenizers torch transformers".split()
EXTRA_OF = {  # module -> the extra that installs it
    **dict.fromkeys(HF, "hf"),
    "bitsandbytes": "quant",
    "gguf": "gguf",
    "httpx2": "openai",
    "ray": "ray",
    "vllm": "vllm",
}
TASKS = "folder of tasks"
GROUPS = {  # what other packages may add -> their group of entry points
    "engine": "evalharness.engines",
    "metric": "evalharness.metrics",
    "reader": "evalharness.readers",
    TASKS: "evalharness.tasks",
}


def names(table: Mapping[str, str], what: str) -> list[str]:
    """Return every name that `find` accepts: those of `table`, then those that other packages add. `what`: the kind of
    piece.
    """
    return [*table, *(name for name in _added(what) if name not in table)]


def check(table: Mapping[str, str], name: str, what: str) -> None:
    """Check, without importing anything, that exactly one piece has this name. Raises UsageError that names the nearest
    names, or the packages that share it.
    """
    added = _added(what).get(name, ())
    if added and (name in table or len(added) > 1):
        owners = [*(["evalharness"] if name in table else []), *map(_package, added)]
        fix = f"uninstall {' or '.join(map(_package, added))}, or have it use another name"
        raise UsageError(f"{what} {name}", f"is the name of a {what} of {' and of '.join(owners)}", fix)
    if not added and name not in table:
        raise UsageError(what, f"unknown {what} {name!r}", did_you_mean(name, names(table, what)))


def find(table: Mapping[str, str], name: str, what: str) -> Any:
    """Return the piece of this name: the attribute that `table` names, else the one in another package's entry points.

    `what`: its kind, for errors and in `GROUPS`. Raises UsageError as `check` does and if another package's piece
    cannot be loaded, and MissingPackageError if ours needs an extra that is not installed.
    """
    check(table, name, what)
    if name not in table:
        return load(_added(what)[name][0], what)
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA_OF:
            raise
        extra = EXTRA_OF[missing]
        raise MissingPackageError(
            f"{what} {name}",
            f"needs the packages of the extra [{extra}] ({missing} is not installed)",
            f"pip install 'evalharness[{extra}]' would be right",
        ) from error


def task_folders() -> list[Path]:
    """Return the folders of task files that other packages add. An entry point is a package with YAML files in it, or a
    path. Raises UsageError if one cannot be loaded.
    """
    folders = []
    for entry in (entry for of_name in _added(TASKS).values() for entry in of_name):
        piece = load(entry, TASKS)
        folder = Path(piece if isinstance(piece, str | Path) else next(iter(getattr(piece, "__path__", ())), ""))
        if not (folder.is_dir() and folder.name):
            what = f"{entry.value} of {_package(entry)} is no folder"
            raise UsageError(f"{TASKS} {entry.name}", what, "a package with YAML files, or a path, would be right")
        folders.append(folder)
    return folders


def load(entry: EntryPoint, what: str) -> Any:
    """Return the object of another package's entry point. Raises UsageError that names the package."""
    try:
        return entry.load()
    except Exception as error:  # another package's module may raise anything
        problem = f"{entry.value} of {_package(entry)} cannot be loaded ({type(error).__name__}: {error})"
        raise UsageError(f"{what} {entry.name}", problem, f"mend or uninstall {_package(entry)}") from error


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    versions = dict[str, str]()
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@functools.cache
def _added(what: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entry points of one kind by name, sorted, so that the order of installation does not matter."""
    added: dict[str, tuple[EntryPoint, ...]] = {}
    entries = entry_points(group=GROUPS[what]) if what in GROUPS else ()
    for entry in sorted(entries, key=lambda entry: (entry.name, _package(entry))):
        added[entry.name] = (*added.get(entry.name, ()), entry)
    return added


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value
