"""`evalharness data`: rows of tasks to a folder of files, a check of such a folder, and what the lock file holds of the
hub's data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from evalharness.cli.options import data_options, debug_option, paths, with_options
from evalharness.data.fetch import ManifestEntry, TaskSplit, fetch, splits_to_fetch, verify
from evalharness.data.lock import Lock, default_lock, key_of
from evalharness.data.sources import DataSource, check_overrides, missing
from evalharness.errors import DataError, TaskError, UsageError, did_you_mean
from evalharness.paths import default_store, shipped
from evalharness.records.tasks import Suite, Task
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned
from evalharness.tasks.library import Library

COLUMNS = ("data set", "split", "rows", "licence", "")
RIGHT = (2,)  # columns of numbers

lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lock file [default: evalharness.lock.json here, else beside the store].",
)


@click.group("data")
def data_command() -> None:
    """Fetch rows to a folder, verify one, accept new rows of the hub."""


@data_command.command("fetch")
@click.option("--suite", help="The tasks of this suite.")
@click.option("--task", "tasks", multiple=True, help="A task, group, tag or glob. Repeatable.")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to fill; --data-dir reads it.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    help="Exactly this split, instead of those that the tasks evaluate and draw shots from. Repeatable.",
)
@click.option("--training", is_flag=True, help="The splits to train on, too, where there are any.")
@click.option(
    "--update",
    is_flag=True,
    help="Replace files that are there, and take the newest rows of the hub instead of the locked ones.",
)
@with_options(*data_options)
@lock_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def fetch_command(**given: Any) -> None:
    """Write the rows of tasks to files in --to, as DATASET/CONFIG/SPLIT.jsonl, with a manifest of digests, revisions
    and licences.

    Rows come from the hub, or from --data and --data-dir in whatever layout, as in `run`. A file that is there already
    and unchanged is kept.
    """
    library = Library(given["include"])
    suite = library.suite(given["suite"]) if given["suite"] else None
    tasks = _tasks(library, suite, given["tasks"])
    folder, lock = given["folder"], given["lock"] or default_lock(default_store(os.environ))
    source = DataSource(
        given["data_dir"], paths("--data", given["data"]), shipped(suite.data) if suite and suite.data else None, lock
    )
    if source.data_dir is not None and source.data_dir.resolve() == folder.resolve():
        raise UsageError("--to", f"{folder} is the folder that --data-dir reads", "another folder would be right")
    check_overrides(tasks, source)
    splits = splits_to_fetch(tasks, given["splits"], given["training"])
    if not splits:
        raise UsageError(
            "data fetch", "the rows of these tasks are files of their own", "name tasks whose rows are on the hub"
        )
    if not given["splits"] and (error := missing(tasks, source)) is not None:
        raise error
    if given["update"]:
        opened = Lock(lock)
        opened.forget({key_of(task) for task in tasks} & opened.names())
    fetched, without = _fetched(splits, source, folder, given["update"])
    if given["as_json"]:
        click.echo(
            json.dumps(
                {"files": [asdict(entry) for entry, _ in fetched], "without": without}, indent=1, ensure_ascii=False
            )
        )
        return
    _show(fetched, without)
    click.echo(
        f"\n{len(fetched)} files in {folder}. Use them with --data-dir {folder}, check them with: evalharness data verify {folder}"
    )


@data_command.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def verify_command(folder: Path, as_json: bool, debug: bool) -> int:
    """Is everything in DIR as `data fetch` left it? Ends with 2 where a file is missing, changed or extra. Needs no
    network.
    """
    right, faults = verify(folder)
    if as_json:
        click.echo(json.dumps({"right": len(right), "faults": [asdict(fault) for fault in faults]}, indent=1))
    else:
        for fault in faults:
            click.echo(plain(f"{fault.file}: {fault.what} ({fault.why})"))
        click.echo(f"{folder}: {len(right)} files as fetched, {len(faults)} not")
    return DataError.exit_code if faults else 0


@data_command.command("accept")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@lock_option
@click.option(
    "--include-path", "include", multiple=True, type=click.Path(path_type=Path), help="Folder with more task files."
)
@debug_option
def accept_command(names: tuple[str, ...], lock: Path | None, include: tuple[Path, ...], debug: bool) -> None:
    """Give up the lock on data sets, by their name or a task's: the next reading takes what the hub has then, and locks
    that.
    """
    path = lock or default_lock(default_store(os.environ))
    opened = Lock(path)
    for name in opened.forget(dict.fromkeys(_key(name, opened, include) for name in names)):
        click.echo(plain(f"{name}: no longer locked in {path}"))


def _tasks(library: Library, suite: Suite | None, patterns: Sequence[str]) -> list[Task]:
    """Each task once, evaluating the split that the suite evaluates."""
    if suite is None and not patterns:
        raise UsageError("data fetch", "no task", "name a --suite or one or more --task")
    found = [library.task(name) for name in suite.tasks] if suite else []
    if suite and suite.split:
        found = [replace(task, evaluation_split=suite.split) for task in found]
    return list({task.name: task for task in (*library.select(patterns), *found)}.values())


def _fetched(
    splits: Sequence[TaskSplit], source: DataSource, folder: Path, update: bool
) -> tuple[list[tuple[ManifestEntry, bool]], list[str]]:
    """The entries, and whether they were written just now; and what has no rows to train on."""
    found: list[tuple[ManifestEntry, bool]] = []
    without: list[str] = []
    for each in splits:
        try:
            found.append(fetch(each, source, folder, update))
        except DataError as error:
            if each.use != "training":
                raise
            without.append(str(error))
    return found, without


def _show(fetched: Sequence[tuple[ManifestEntry, bool]], without: Sequence[str]) -> None:
    rows = [
        (f"{e.data_set}/{e.config}", e.split, f"{e.rows:,}", e.licence, "" if new else "(was there)")
        for e, new in fetched
    ]
    for line in aligned([[plain(cell) for cell in row] for row in (COLUMNS, *rows)], RIGHT):
        click.echo(line)
    for error in without:
        click.echo(plain(f"left out: {error}"))


def _key(name: str, lock: Lock, include: tuple[Path, ...]) -> str:
    """The lock file's name for a data set, from its own or a task's."""
    if name in lock.names():
        return name
    library = Library(include)
    try:
        return key_of(library.task(name))
    except TaskError:
        known = {*lock.names(), *library.names()}
        raise UsageError(name, "is no locked data set and no task", did_you_mean(name, known)) from None
