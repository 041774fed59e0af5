"""`evalharness data`: fetch the rows of tasks to a folder, verify such a folder, and accept new rows of the hub."""

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
from evalharness.folder_lock import held
from evalharness.paths import default_store, shipped
from evalharness.report.text_table import aligned
from evalharness.tasks.fetching import FetchResult, fetch_tasks, lock_key, tasks_to_fetch
from evalharness.tasks.library import Library

TITLES = ("data set", "split", "rows", "licence", "")
RIGHT = (2,)  # columns of numbers

lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lock file [default: evalharness.lock.json here, else beside the store].",
)


@click.group("data", cls=CommandGroup)
def data_command() -> None:
    """Fetch rows to a folder, verify one, accept new rows of the hub."""


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
    help="Exactly this split, instead of those that the tasks evaluate and draw shots from. Repeatable.",
)
@click.option("--training", is_flag=True, help="The splits to train on, too, where there are any.")
@click.option(
    "--update",
    is_flag=True,
    help="Replace files that are there, and take the newest rows of the hub instead of the locked ones.",
)
@with_options(*data_options, lock_option, json_option, debug_option)
def fetch_command(**given: Any) -> int:
    """Write the rows of tasks to files in --to, as DATASET/CONFIG/SPLIT.jsonl, with a manifest of digests, revisions
    and licences.

    Rows come from the hub, or from --data and --data-dir in whatever layout, as in `run`. A file that is there already
    and unchanged is kept. Goes on past what cannot be fetched, and ends with 2 then.
    """
    library, folder = Library(given["include"]), given["folder"]
    suite = library.suite(given["suite"]) if given["suite"] else None
    tasks = tasks_to_fetch(library, suite, given["tasks"])
    rows = data_source(given, given["lock"] or default_lock(default_store(os.environ)))
    source = replace(rows, shipped=shipped(suite.data) if suite and suite.data else None)
    with held(folder, "--to"):
        fetched = fetch_tasks(tasks, source, folder, given["splits"], given["training"], given["update"])
    if given["as_json"]:
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
    """Is everything in DIR as `data fetch` left it? Ends with 2 where a file is missing, changed or extra. Needs no
    network.
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
    """Give up the lock on data sets, by their name or a task's: the next reading takes what the hub has then, and locks
    that.
    """
    opened = Lock(lock or default_lock(default_store(os.environ)))
    library = Library(include)
    for name in opened.forget(dict.fromkeys(lock_key(name, opened, library) for name in names)):
        print_line(f"{name}: no longer locked in {opened.path}")
