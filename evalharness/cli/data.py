"""`evalharness data`: fetch the rows of tasks into a folder, verify such a folder, and accept new rows of the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from evalharness.cli.command import CommandGroup
from evalharness.cli.option_texts import data_source
from evalharness.cli.options import data_options, debug_option, include_option, json_option, task_options, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.data.fetch import verify
from evalharness.data.lock import Lock, default_lock
from evalharness.errors import DataError
from evalharness.folder_lock import hold_folder
from evalharness.paths import default_store, shipped
from evalharness.report.text_table import aligned
from evalharness.tasks.fetching import FetchResult, fetch_tasks, lock_key, tasks_to_fetch
from evalharness.tasks.library import Library

TITLES = ("data set", "split", "rows", "licence", "")
RIGHT = (2,)  # columns of numbers

lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The lock file  [default: evalharness.lock.json here, else beside the store].",
)


@click.group("data", cls=CommandGroup)
def data_command() -> None:
    """Fetch the rows of tasks into a folder, verify such a folder, accept new rows of the hub."""


@data_command.command("fetch")
@with_options(*task_options)
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
    help="Fetch only this split  [default: the splits that tasks evaluate and draw shots from]. Repeatable.",
)
@click.option("--training", is_flag=True, help="Fetch the training splits, too.")
@click.option(
    "--update", is_flag=True, help="Replace existing files, and fetch the hub's newest rows instead of the locked ones."
)
@with_options(*data_options, lock_option, json_option, debug_option)
def fetch_command(**options: Any) -> int:
    """Write the rows of tasks into the folder --to as DATASET/CONFIG/SPLIT.jsonl, with a manifest of digests,
    revisions and licences.

    Rows come from the hub, or from --data and --data-dir in any layout that `run` reads. An existing, unchanged file is
    kept. Data sets that cannot be fetched are skipped and listed; the command then ends with 2.
    """
    library, folder = Library(options["include"]), options["folder"]
    suite = library.suite(options["suite"]) if options["suite"] else None
    tasks = tasks_to_fetch(library, suite, options["tasks"])
    rows = data_source(options, options["lock"] or default_lock(default_store(os.environ)))
    source = replace(rows, shipped=shipped(suite.data) if suite and suite.data else None)
    with hold_folder(folder, "--to"):
        fetched = fetch_tasks(tasks, source, folder, options["splits"], options["training"], options["update"])
    if options["as_json"]:
        document = {"files": [asdict(entry) for entry, _ in fetched.entries], "without": fetched.without}
        document["failed"] = fetched.failed
        print_json(json.dumps(document, indent=1, ensure_ascii=False))
        return DataError.exit_code if fetched.failed else 0
    print_lines(_lines(fetched))
    check = f"check them with: evalharness data verify {folder}"
    print_line(f"\n{len(fetched.entries)} files in {folder}. Use them with --data-dir {folder}, {check}")
    if fetched.failed:
        print_line(f"{len(fetched.failed)} could not be fetched")
        return DataError.exit_code
    return 0


def _lines(fetched: FetchResult) -> Iterator[str]:
    rows = [
        (f"{each.data_set}/{each.config}", each.split, f"{each.rows:,}", each.licence, "" if new else "(was there)")
        for each, new in fetched.entries
    ]
    yield from aligned([TITLES, *rows], RIGHT)
    yield from (f"left out: {error}" for error in fetched.without)
    yield from (f"not fetched: {error}" for error in fetched.failed)


@data_command.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@with_options(json_option, debug_option)
def verify_command(folder: Path, as_json: bool, debug: bool) -> int:
    """Check that the files in DIR are those that `data fetch` wrote. Ends with 2 where a file is missing, changed or
    extra. Needs no network.
    """
    right, faults = verify(folder)
    if as_json:
        print_json(json.dumps({"right": len(right), "faults": [asdict(fault) for fault in faults]}, indent=1))
    else:
        for fault in faults:
            print_line(f"{fault.file}: {fault.what} ({fault.why})")
        print_line(f"{folder}: {len(right)} files as fetched, {len(faults)} not")
    return DataError.exit_code if faults else 0


@data_command.command("accept")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@with_options(lock_option, include_option, debug_option)
def accept_command(names: tuple[str, ...], lock: Path | None, include: tuple[Path, ...], debug: bool) -> None:
    """Unlock data sets, named by themselves or by a task, so that the next run reads the hub's newest rows and locks
    those.
    """
    opened = Lock(lock or default_lock(default_store(os.environ)))
    library = Library(include)
    for name in opened.forget(dict.fromkeys(lock_key(name, opened, library) for name in names)):
        print_line(f"{name}: no longer locked in {opened.path}")
