"""Check that rows that lie in files are there and can be asked, before a checkpoint is read."""

from __future__ import annotations

from dataclasses import replace

from evalharness.data.lock import default_lock
from evalharness.data.sources import DataSource, locate, missing
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.tasks import Suite, Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

SAMPLE = 20  # rows of each task that are rendered; all are read


def source_of(job: Job, suite: Suite | None) -> DataSource:
    """Where the rows of a job come from."""
    return DataSource(
        data_dir=job.data.folder,
        overrides=job.data.overrides,
        shipped=shipped(suite.data) if suite and suite.data else None,
        lock=default_lock(job.output.store),
        columns=job.data.columns,
    )


def check_present(job: Job, library: Library) -> None:
    """Raises DataError naming every task of a job whose rows are nowhere, in files or on the hub."""
    suite, tasks, split = _named(job, library)
    if (error := missing(tasks, source_of(job, suite), split)) is not None:
        raise error


def check_rows(job: Job, library: Library) -> None:
    """Raises DataError where a task that a job names has rows in files that cannot be asked, and for a folder without
    the split. The hub is not asked.
    """
    suite, tasks, split = _named(job, library)
    source = source_of(job, suite)
    shots = job.tasks.num_fewshot if job.tasks.num_fewshot is not None or suite is None else suite.num_fewshot
    settings = PromptSettings(num_fewshot=shots, limit=SAMPLE, seed=job.statistics.seed, split=split)
    for task in tasks:
        named = job.data.folder or job.data.overrides or source.shipped is None
        if named and locate(task, split or task.evaluation_split, source) is not None:
            prepare(replace(task, metrics=()), source, settings)


def _named(job: Job, library: Library) -> tuple[Suite | None, list[Task], str | None]:
    """The suite, the tasks that a job names, and the split that is evaluated instead of theirs."""
    suite = library.suite(job.tasks.suite) if job.tasks.suite else None
    names = (*(suite.tasks if suite else ()), *(task.name for task in library.select(job.tasks.names)))
    tasks = [library.task(name) for name in dict.fromkeys((*names, *job.models.stated_targets))]
    return suite, tasks, job.tasks.split or (suite.split if suite else None)
