"""`evalharness store`: show what the store of answers holds; verify it, remove answers, export them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from evalharness import store
from evalharness.cli.command import CommandGroup
from evalharness.cli.options import Decorated, debug_option, json_option, with_options
from evalharness.cli.printing import print_json, print_line
from evalharness.errors import StoreError, UsageError
from evalharness.paths import default_store
from evalharness.store import RemovalRule, SourceFacts

UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
SHORT = 12  # digits of a fingerprint on screen
store_option: Decorated = click.option(
    "--store",
    "path",
    type=click.Path(path_type=Path),
    help="The store's file [default: in the user's cache directory].",
)


@click.group("store", cls=CommandGroup)
def store_command() -> None:
    """Show what the store of answers holds; verify it, remove answers, export them. Runs may use it meanwhile."""


@store_command.command("info")
@with_options(store_option, json_option, debug_option)
def info_command(path: Path | None, as_json: bool, debug: bool) -> None:
    """Show the stored answers by model, when they were last used, and whether all are intact (damaged ones are computed
    again).
    """
    facts = store.facts(_place(path))
    if as_json:
        document = {**asdict(facts), "path": str(facts.path), "set_aside": [str(file) for file in facts.set_aside]}
        print_json(json.dumps(document, indent=1))
        return
    answers = f"{facts.answers:,} answers of {facts.models} models"
    rest = f"{facts.bytes:,} bytes, version {facts.version}, {facts.damaged} damaged, {facts.quarantined} in quarantine"
    print_line(f"{facts.path}: {answers}, {rest}")
    for source in facts.sources:
        print_line(f"  {described(source)}")
    for file in facts.set_aside:
        print_line(f"  set aside as damaged: {file} (delete it when you do not need it)")


@store_command.command("verify")
@click.option("--repair", is_flag=True, help="Move a damaged store aside, and begin a new one with the intact answers.")
@with_options(store_option, debug_option)
def verify_command(path: Path | None, repair: bool, debug: bool) -> None:
    """Check every row against its digest, and the file's structure. Ends with 2 where something is damaged."""
    place = _place(path)
    if repair:
        store.repair(place, _say)
    damaged, total = store.verify(place)
    if damaged:
        fix = f"they are never used and computed again; {store.repair_command(place)} sets them aside"
        raise StoreError(place, f"{damaged:,} of {total:,} rows do not fit their digests", fix)
    print_line(f"{place}: all {total:,} rows are intact")


@store_command.command("gc")
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FINGERPRINT", help="Remove answers of this model. Repeatable."
)
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Remove answers not used for this many days.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    help="Remove of these the longest unused, until the rest takes at most SIZE (500M, 2G).",
)
@click.option(
    "--yes/--dry-run", default=False, help="Delete; without --yes only list what would be deleted  [default: dry-run]."
)
@with_options(store_option, debug_option)
def gc_command(
    path: Path | None, models: Sequence[str], days: float | None, max_size: str | None, yes: bool, debug: bool
) -> None:
    """Remove answers by model, age or size, and shrink the file. Nothing is deleted without --yes; the command never
    asks a question. Answers that are needed again are computed again.
    """
    place = _place(path)
    rule = RemovalRule(models=tuple(models), older_than_days=days, most_bytes=_size(max_size))
    facts = store.facts(place)
    sources = store.matching_sources(facts.sources, rule, time.time())
    for source in sources:
        print_line(f"  {described(source)}")
    count = f"{sum(sum(source.answers.values()) for source in sources):,} answers of {facts.answers:,}"
    if not yes:
        print_line(f"{count} would be deleted; nothing was deleted: give --yes to do it")
        return
    store.remove(place, sources, _say)
    print_line(f"{count} deleted, {facts.bytes - store.facts(place).bytes:,} bytes smaller")


@store_command.command("export")
@click.option("--to", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME|FINGERPRINT", help="Export only this model's answers. Repeatable."
)
@with_options(store_option, debug_option)
def export_command(path: Path | None, file: Path, models: Sequence[str], debug: bool) -> None:
    """Write every intact answer as a line of JSON: fingerprints of model and engine, the request's id, the answer.

    The store holds only the hash of a question; questions and answers together are in a run's samples/.
    """
    place = _place(path)
    if file.exists():
        raise UsageError("--to", f"{file} exists already", "name a new file")
    sources: Sequence[SourceFacts] = ()
    if models:
        sources = store.matching_sources(store.facts(place).sources, RemovalRule(models=tuple(models)), time.time())
    count = store.export(place, file, {source.model for source in sources})
    print_line(f"{file}: {count:,} answers")


def described(source: SourceFacts) -> str:
    """Describe in one line the stored answers of one model by one engine."""
    names = f" ({', '.join(source.names)})" if source.names else ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in source.answers.items())
    tasks = f", tasks {', '.join(source.tasks)}" if source.tasks else ""
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(stamp)) for stamp in (source.first, source.last))
    used = f", first used {first}, last {last}" if source.last else ""
    line = f"model {source.model[:SHORT]}{names} by engine {source.engine[:SHORT]}: {kinds}, {source.bytes:,} bytes"
    return f"{line}{used}{tasks}"


def _place(path: Path | None) -> Path:
    return path or default_store(os.environ)


def _say(notice: str) -> None:
    print_line(notice, err=True)


def _size(text: str | None) -> int | None:
    """Parse a size such as `500M` into bytes. Raises UsageError."""
    if text is None:
        return None
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())) is None:
        raise UsageError("--max-size", f"{text!r} is no size", "500M or 2G would be right")
    return int(float(match[1]) * UNITS[match[2]])
