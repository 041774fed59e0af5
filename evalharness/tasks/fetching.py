"""Fetch the rows of tasks, groups or suites from the hub into a folder of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness.data.fetch import ManifestEntry, TaskSplit, fetch, splits_to_fetch
from evalharness.data.lock import Lock, key_of
from evalharness.data.sources import DataSource, check_overrides, locate, missing
from evalharness.errors import DataError, TaskError, UsageError, did_you_mean
from evalharness.records.tasks import Suite, Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

COMMAND = "data fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResult:
    """What was fetched.

    `entries` are the files, each with whether it was written just now. `without` says why splits to train on are
    missing, `failed` why others were not fetched.
    """

    entries: tuple[tuple[ManifestEntry, bool], ...]
    without: tuple[str, ...]
    failed: tuple[str, ...] = ()


def tasks_to_fetch(library: Library, suite: Suite | None, patterns: Sequence[str]) -> list[Task]:
    """Return the tasks of these names, each once, with the suite's evaluation split. Raises UsageError if none is
    named.
    """
    if suite is None and not patterns:
        raise UsageError(COMMAND, "no task", "name a --suite or one or more --task")
    of_suite = [library.task(name) for name in suite.tasks] if suite else []
    if suite and suite.split:
        of_suite = [replace(task, evaluation_split=suite.split) for task in of_suite]
    return list({task.name: task for task in (*library.select(patterns), *of_suite)}.values())


def fetch_tasks(
    tasks: Sequence[Task],
    source: DataSource,
    folder: Path,
    splits: Sequence[str] = (),
    training: bool = False,
    update: bool = False,
) -> FetchResult:
    """Write the splits that the tasks read to files of `folder`.

    With `training` these are also the splits to train on, which may be missing; with `splits` exactly these. `update`:
    first remove the lock of their data sets. It continues after splits that cannot be fetched. Raises UsageError if
    there is nothing to fetch or the folder is the one that is read, and DataError if nothing could be fetched.
    """
    if source.data_dir is not None and source.data_dir.resolve() == folder.resolve():
        raise UsageError("--to", f"{folder} is the folder that --data-dir reads", "another folder would be right")
    check_overrides(tasks, source)
    needed = splits_to_fetch(tasks, splits, training)
    if not needed:
        what = "the rows of these tasks are files of their own"
        raise UsageError(COMMAND, what, "name tasks whose rows are on the hub")
    if update and source.lock is not None:
        lock = Lock(source.lock)
        lock.forget({key_of(task) for task in tasks} & lock.names())
    return _fetched(needed, source, folder, update)


def _fetched(splits: Sequence[TaskSplit], source: DataSource, folder: Path, update: bool) -> FetchResult:
    entries: list[tuple[ManifestEntry, bool]] = []
    without: list[str] = []
    failed: list[DataError] = []
    for each in splits:
        try:
            _check(each, source)
            entries.append(fetch(each, source, folder, update))
        except DataError as error:
            if each.use == "training":
                without.append(str(error))
            else:
                failed.append(error)
    if failed and not entries:
        raise (
            failed[0] if len(failed) == 1 else DataError("nothing fetched", "; ".join(map(str, failed)), failed[0].fix)
        )
    return FetchResult(entries=tuple(entries), without=tuple(without), failed=tuple(map(str, failed)))


def _check(each: TaskSplit, source: DataSource) -> None:
    """Raise DataError for missing rows, and for rows in files that a run would refuse."""
    if each.use != "asked for" and (error := missing([each.task], source, each.split)) is not None:
        raise error
    if each.use == "evaluation" and locate(each.task, each.split, source) is not None:
        settings = PromptSettings(num_fewshot=0, limit=1, split=each.split)
        prepare(replace(each.task, metrics=()), source, settings)


def lock_key(name: str, lock: Lock, library: Library) -> str:
    """Return the name of a data set in the lock file, from that name or a task's. Raises UsageError for
    another name.
    """
    if name in lock.names():
        return name
    try:
        return key_of(library.task(name))
    except TaskError:
        names = {*lock.names(), *library.names()}
        raise UsageError(name, "is no locked data set and no task", did_you_mean(name, names)) from None
