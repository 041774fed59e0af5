"""`evalharness store`: say what the store of answers holds."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from evalharness.cli.options import debug_option, json_option, with_options
from evalharness.cli.printing import print_json, print_line
from evalharness.errors import StoreError
from evalharness.paths import default_store
from evalharness.store import Store


@click.group("store")
def store_command() -> None:
    """Look at the store of answers."""


@store_command.command("info")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The store's file [default: in the user's cache directory].",
)
@with_options(json_option, debug_option)
def info_command(store: Path | None, as_json: bool, debug: bool) -> None:
    """How many answers of how many models are kept, and whether all are intact (damaged ones are computed again)."""
    path = store or default_store(os.environ)
    if not path.is_file():
        raise StoreError(path, "no store here", "it is made by the first `evalharness run`")
    with Store(path) as opened:
        facts = opened.facts()
    if as_json:
        print_json(json.dumps({**asdict(facts), "path": str(path)}, indent=1))
    else:
        answers = f"{facts.answers:,} answers of {facts.models} models"
        print_line(f"{path}: {answers}, {facts.bytes:,} bytes, {facts.damaged} damaged")
