"""`evalharness store`: what the store of answers holds."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from evalharness.cli.options import debug_option
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def info_command(store: Path | None, as_json: bool, debug: bool) -> None:
    """How many answers of how many models are kept, and whether all are intact (damaged ones are computed again)."""
    path = store or default_store(os.environ)
    if not path.is_file():
        raise StoreError(path, "no store here", "it is made by the first `evalharness run`")
    with Store(path) as opened:
        facts = opened.facts()
    if as_json:
        click.echo(json.dumps({**asdict(facts), "path": str(path)}, indent=1))
    else:
        click.echo(
            f"{path}: {facts.answers:,} answers of {facts.models} models, {facts.bytes:,} bytes, {facts.damaged} damaged"
        )
