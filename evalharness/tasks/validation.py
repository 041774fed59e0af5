"""Check whether task, group and suite files can run here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from evalharness.data.grouping import reader_of
from evalharness.errors import EvalHarnessError, TaskError
from evalharness.metrics.build import build, check_readable
from evalharness.records.tasks import Task
from evalharness.tasks.catalogue import DefinitionKind
from evalharness.tasks.library import Library
from evalharness.tasks.lm_eval_agreement import contradiction
from evalharness.tasks.loading import NeedsCode, NotSupported
from evalharness.tasks.scoring import is_module


class FileStatus(StrEnum):
    """Whether a file can run here."""

    RUNS = "runs"
    NEEDS_CODE = "needs code"  # Python, which is never run
    NOT_SUPPORTED = "not supported"
    WRONG = "wrong"


def yaml_files(path: Path) -> list[Path]:
    """Return the file at the path, or the YAML files below the folder. Raises TaskError if the folder has none."""
    if not path.is_dir():
        return [path]
    if files := sorted(path.rglob("*.yaml")):
        return files
    raise TaskError(path, "holds no .yaml file", "a task file, or a folder of them, would be right")


def file_status(library: Library, path: Path) -> tuple[FileStatus, str]:
    """Return whether a file can run, and the reason if it cannot, else what it needs beside its rows. Rows are not
    read.
    """
    try:
        kind, name = library.add(path)
        if kind == DefinitionKind.SUITE:
            library.suite(name)
        elif kind == DefinitionKind.GROUP:
            library.group(name)
        else:
            return FileStatus.RUNS, _needs(library.task(name), library.definition(name))
    except NeedsCode as error:
        return FileStatus.NEEDS_CODE, str(error)
    except NotSupported as error:
        return FileStatus.NOT_SUPPORTED, str(error)
    except EvalHarnessError as error:
        return FileStatus.WRONG, str(error)
    return FileStatus.RUNS, ""


def _needs(task: Task, definition: Mapping[str, Any]) -> str:
    """Build a task's metrics and name its modules of `evaluate`, which are foreign code and are not loaded. Raises
    TaskError.
    """
    modules = [spec.name for spec in task.metrics if is_module(spec)]
    for spec in task.metrics:
        if not is_module(spec):
            build(spec)
            check_readable(spec, task.output_type)
    reader_of(task)
    if why := contradiction(task, definition):
        fix = "subset (other metrics of it are the same) or " if task.lm_eval == "same" else ""
        raise TaskError(task.source, f"metadata.lm_eval is {task.lm_eval}, but {why}", f"{fix}no would be right")
    return f"with {', '.join(modules)} of `evaluate`" if modules else ""
