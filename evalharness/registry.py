"""Find pieces by name: in our tables of "module:attribute", and in the entry points of whatever package is installed.

Each of our packages keeps its own table, `REGISTRY: dict[str, str]`, in its `__init__`, and names only its own files
there. Nothing is imported before somebody wants the piece.
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
EXTRA_OF = {  # a module to the extra that brings it
    **dict.fromkeys(HF, "hf"),
    "bitsandbytes": "quant",
    "gguf": "gguf",
    "httpx2": "openai",
    "ray": "ray",
    "vllm": "vllm",
}
TASKS = "folder of tasks"
GROUPS = {  # what other packages may add, to the group of entry points in which they name it
    "engine": "evalharness.engines",
    "metric": "evalharness.metrics",
    "reader": "evalharness.readers",
    TASKS: "evalharness.tasks",
}


def names(known: Mapping[str, str], what: str) -> list[str]:
    """Every name that `find` knows: those of the table `known`, then those that other packages add."""
    return [*known, *(name for name in _added(what) if name not in known)]


def check(known: Mapping[str, str], name: str, what: str) -> None:
    """Raise UsageError, with the nearest known names, where nothing has this name, and where several packages have it.
    Imports nothing.
    """
    added = _added(what).get(name, ())
    if added and (name in known or len(added) > 1):
        owners = [*(["evalharness"] if name in known else []), *map(_package, added)]
        fix = f"uninstall {' or '.join(map(_package, added))}, or have it use another name"
        raise UsageError(f"{what} {name}", f"is the name of a {what} of {' and of '.join(owners)}", fix)
    if not added and name not in known:
        raise UsageError(what, f"unknown {what} {name!r}", did_you_mean(name, names(known, what)))


def find(known: Mapping[str, str], name: str, what: str) -> Any:
    """The attribute that `name` stands for in the table `known`, else in another package's entry points; `what` says
    what kind of thing it is, in errors and in `GROUPS`.

    Raises UsageError as `check` does and where another package's piece cannot be loaded, and MissingPackageError where
    ours needs packages that only an extra brings.
    """
    check(known, name, what)
    if name not in known:
        return load(_added(what)[name][0], what)
    module, _, attribute = known[name].partition(":")
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
    """The folders of task files that other packages name: each entry point is a package with YAML files in it, or a
    path. Raises UsageError where one cannot be loaded.
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
    """What an entry point of another package stands for. Raises UsageError naming the package."""
    try:
        return entry.load()
    except Exception as error:  # whatever somebody else's module raises
        problem = f"{entry.value} of {_package(entry)} cannot be loaded ({type(error).__name__}: {error})"
        raise UsageError(f"{what} {entry.name}", problem, f"mend or uninstall {_package(entry)}") from error


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Look up the versions of those of the packages that are installed."""
    versions = dict[str, str]()
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@functools.cache
def _added(what: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Entry points by name, sorted, so that nothing depends on the order in which packages are installed."""
    added: dict[str, tuple[EntryPoint, ...]] = {}
    entries = entry_points(group=GROUPS[what]) if what in GROUPS else ()
    for entry in sorted(entries, key=lambda entry: (entry.name, _package(entry))):
        added[entry.name] = (*added.get(entry.name, ()), entry)
    return added


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value
