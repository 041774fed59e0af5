"""`evalharness demo`: train, evaluate and compare candidates with the embedded model and data."""

from __future__ import annotations

from pathlib import Path

import click

from evalharness import experiments, registry
from evalharness.analysis.candidate_order import candidate_order
from evalharness.cli import progress
from evalharness.cli.command import Command
from evalharness.cli.options import debug_option, quiet_option, with_options
from evalharness.cli.printing import print_line, print_lines, terminal_width
from evalharness.errors import NotComparableError
from evalharness.folder_lock import hold_folder
from evalharness.report.repair import repairs_in
from evalharness.report.repair_table import sentences
from evalharness.report.sentences import headline
from evalharness.report.terminal import verdict_lines
from evalharness.results import REPORT
from evalharness.run.checks import check_output


@click.command("demo", cls=Command)
@click.option(
    "--out",
    default=Path("runs/demo"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the candidates, results and report.",
)
@click.option(
    "--seed",
    default=1234,
    type=click.IntRange(min=0),
    show_default=True,
    help="Seed of training, --limit and resampling.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="At most this many rows a task, for a quick look  [default: all]."
)
@with_options(quiet_option, debug_option)
def demo_command(out: Path, seed: int, limit: int | None, quiet: bool, debug: bool) -> int:
    """Train five candidates on the embedded world, repair two, compare all, and end with the path of the report.

    The candidates are full fine-tuning at a high and at a low learning rate, LoRA, prompt tuning, and full fine-tuning
    with replay of the old tasks. Of those that lost too much, the two that learned most are repaired. Needs no network
    and no GPU. After an interruption give the same command again.
    """
    check_output(out)
    with hold_folder(out, "--out"), progress.listener(quiet) as listener:
        run_demo = registry.find(experiments.REGISTRY, "demo", "command")
        results = run_demo(out, seed, listener, limit)
    print_lines(verdict_lines(results, terminal_width()))
    for repair in repairs_in(out, results):
        print_lines(["", *sentences(repair)])
    print_lines(["", f"{'; '.join(headline(candidate_order(results).candidates))}."])
    print_line(f"\nreport: {(out / REPORT).resolve()}")
    return NotComparableError.exit_code if results.errors else 0
