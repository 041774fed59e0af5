"""Check that the rows of a run's tasks exist and make valid questions, before a checkpoint is read."""

from __future__ import annotations

from dataclasses import replace

from evalharness.data.lock import default_lock
from evalharness.data.sources import DataSource, locate, missing
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.tasks import Suite, Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

SAMPLE = 20  # rows of each task that are rendered; all rows are read


def source_of(job: Job, suite: Suite | None) -> DataSource:
    """Make the source that finds a job's rows."""
    return DataSource(
        data_dir=job.data.folder,
        overrides=job.data.overrides,
        shipped=shipped(suite.data) if suite and suite.data else None,
        lock=default_lock(job.output.store),
        columns=job.data.columns,
    )


def check_present(job: Job, library: Library) -> None:
    """Check that the rows of every task exist in files or on the hub. Raises DataError naming those that do not."""
    suite, tasks, split = _selection(job, library)
    if (error := missing(tasks, source_of(job, suite), split)) is not None:
        raise error


def check_rows(job: Job, library: Library) -> None:
    """Check that rows in files make valid questions. Raises DataError for rows that do not, and for a folder without
    the split. The hub is not asked.
    """
    suite, tasks, split = _selection(job, library)
    source = source_of(job, suite)
    shots = job.tasks.num_fewshot if job.tasks.num_fewshot is not None or suite is None else suite.num_fewshot
    settings = PromptSettings(num_fewshot=shots, limit=SAMPLE, seed=job.statistics.seed, split=split)
    for task in tasks:
        in_files = job.data.folder or job.data.overrides or source.shipped is None
        if in_files and locate(task, split or task.evaluation_split, source) is not None:
            prepare(replace(task, metrics=()), source, settings)


def _selection(job: Job, library: Library) -> tuple[Suite | None, list[Task], str | None]:
    """Return a job's suite, its tasks, and the split that replaces their own."""
    suite = library.suite(job.tasks.suite) if job.tasks.suite else None
    names = (*(suite.tasks if suite else ()), *(task.name for task in library.select(job.tasks.names)))
    tasks = [library.task(name) for name in dict.fromkeys((*names, *job.models.stated_targets))]
    return suite, tasks, job.tasks.split or (suite.split if suite else None)
