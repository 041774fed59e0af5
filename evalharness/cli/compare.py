"""`evalharness compare`: compare the results of finished runs, or other tools' logs, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from evalharness import api
from evalharness.cli.command import Command
from evalharness.cli.option_texts import margins, statements, target_tasks
from evalharness.cli.options import debug_option
from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.comparison import Flag
from evalharness.report.size_table import size_table
from evalharness.report.sizes import SIZES
from evalharness.report.terminal import verdict_lines
from evalharness.report.text_table import terminal
from evalharness.results import results_text


@click.command("compare", cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN[#NAME]|[NAME=]LOG…")
@click.option("--margin", multiple=True, metavar="[TASK=]DELTA", help="Largest acceptable drop of a score. Repeatable.")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict  [default: the run's].",
)
@click.option(
    "--target",
    "target_texts",
    multiple=True,
    metavar="[NAME=]TASK|none",
    help="Task that the candidates (or candidate NAME) were trained for, which the suite leaves out; none: no task of "
    "these. Repeatable.",
)
@click.option(
    "--metric",
    "metric_texts",
    multiple=True,
    metavar="NAME:KEY=VALUE,…",
    help="For logs and tables: properties of a metric, or of a task's metric: higher_is_better (yes, no), chance (a "
    "score, none), low and high (a score, none). Repeatable.",
)
@click.option(
    "--allow-mixed-engines", is_flag=True, help="Compare runs of different engines, too, and flag every verdict."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for results.json and measurements.parquet."
)
@click.option(
    "--by-size",
    is_flag=True,
    help="Compare each RUN's candidates with its own base, and order them by the base's size; --out gets sizes.json "
    "and sizes.html (docs/sizes.md).",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json (or sizes.json) and nothing else.")
@debug_option
def compare_command(
    runs: tuple[str, ...],
    margin: tuple[str, ...],
    alpha: float | None,
    target_texts: tuple[str, ...],
    metric_texts: tuple[str, ...],
    allow_mixed_engines: bool,
    out: Path | None,
    by_size: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Compare the results of finished runs.

    One RUN: its candidates are compared with its base again, with other margins if given. Several: the first is the
    base (RUN means that run's base, RUN#NAME one of its models), the others are candidates (RUN means all of that run).
    In place of a run: another harness's logs (PATH#MODEL where a folder holds several models' logs), or a table with
    the columns id and score, or id, prediction and answer (docs/imports.md). With --by-size: runs of bases of several
    sizes, each candidate compared with its own. Ends with 0, or with 5 where examples of a run got no answer.
    """
    options = _judged_by(margin, alpha, target_texts)
    if by_size:
        if allow_mixed_engines:
            raise UsageError("--allow-mixed-engines", "has no meaning with --by-size", "leave one of them out")
        return _by_size(runs, options, metric_texts, out, as_json)
    record = api.compare(
        runs,
        **options,
        metrics=statements(metric_texts),
        allow_mixed_engines=allow_mixed_engines,
        out=out,
        notify=lambda notice: print_line(f"note: {notice}", err=True),
    ).record
    if as_json:
        print_json(results_text(record))
    else:
        print_lines(verdict_lines(record, terminal_width()))
    return NotComparableError.exit_code if any(Flag.INCOMPLETE in row.flags for row in record.comparisons) else 0


def _judged_by(margin: Sequence[str], alpha: float | None, target_texts: Sequence[str]) -> dict[str, Any]:
    """Read the options that say how candidates are judged, for both kinds of comparison."""
    everywhere, by_task = margins(margin)
    target, targets = target_tasks(target_texts)
    return {"margin": everywhere, "margins": by_task, "alpha": alpha, "target": target, "targets": targets}


def _by_size(
    runs: Sequence[str], options: Mapping[str, Any], metric_texts: Sequence[str], out: Path | None, as_json: bool
) -> int:
    """Compare runs of bases of several sizes, print the comparison, and return the exit code."""
    if metric_texts:
        raise UsageError("--metric", "is for logs and tables, whose base's size is not known", "leave it out")
    sizes = api.compare_by_size(runs, **options, out=out)
    if as_json:
        print_json(SIZES.text(sizes))
    else:
        for notice in sizes.notices:
            print_line(f"note: {notice}", err=True)
        print_lines(terminal(size_table(sizes), terminal_width()))
    incomplete = any(each.incomplete for base in sizes.bases for each in base.candidates)
    return NotComparableError.exit_code if incomplete else 0
