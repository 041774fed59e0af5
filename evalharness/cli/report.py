"""`evalharness report`: write the HTML pages of finished runs again."""

from __future__ import annotations

from pathlib import Path

import click

from evalharness import registry, report
from evalharness.cli.command import Command
from evalharness.cli.options import debug_option
from evalharness.cli.printing import print_line
from evalharness.folder_lock import PATIENCE, held
from evalharness.results.files import RESULTS, inside


@click.command("report", cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@debug_option
def report_command(runs: tuple[Path, ...], debug: bool) -> None:
    """Write report.html of each RUN folder again, from what the run left; no model is needed."""
    write = registry.find(report.REGISTRY, "write", "stage")
    for run in runs:
        folder = inside(run, RESULTS, "results").parent
        with held(folder, str(run), patience=PATIENCE):
            page = write(folder, lambda notice: print_line(f"note: {notice}", err=True))
        print_line(page)
