"""`evalharness report`: write the HTML reports of finished runs again, or print their results as tables."""

from __future__ import annotations

from pathlib import Path

import click

from evalharness import registry, report
from evalharness.cli.command import Command
from evalharness.cli.options import debug_option
from evalharness.cli.printing import print_json, print_line
from evalharness.folder_lock import PATIENCE, hold_folder
from evalharness.results.files import RESULTS, find_run_file

HTML, JSON = "html", "json"


@click.command("report", cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    default=HTML,
    show_default=True,
    type=click.Choice([HTML, "md", "csv", JSON, "latex", "card"]),
    help="html writes report.html into each folder; all others are printed (card: metadata of a model card).",
)
@debug_option
def report_command(runs: tuple[Path, ...], form: str, debug: bool) -> None:
    """Write report.html of each RUN folder again from the run's files, or print its results as a table. Needs no
    model.
    """
    if form != HTML:
        text, notices = registry.find(report.REGISTRY, "written", "stage")(runs, form)
        for notice in notices:
            print_line(f"note: {notice}", err=True)
        print_json(text) if form == JSON else print_line(text.rstrip("\n"))
        return
    write = registry.find(report.REGISTRY, "write", "stage")
    for run in runs:
        folder = find_run_file(run, RESULTS, "results").parent
        with hold_folder(folder, str(run), patience=PATIENCE):
            page = write(folder, lambda notice: print_line(f"note: {notice}", err=True))
        print_line(page)
