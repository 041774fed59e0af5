"""The task that one file defines."""

from __future__ import annotations

from pathlib import Path

from evalharness.records.tasks import Task
from evalharness.tasks.loading import load
from evalharness.tasks.spec import task_from


def task_from_file(path: Path) -> Task:
    """Read a task without a library around it."""
    return task_from(load(path), path)
