"""`evalharness repair`: take back what a candidate forgot, by going part of the way back to its base."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry, report
from evalharness.analysis.policy_file import policy_of
from evalharness.cli import completion, progress
from evalharness.cli.command import Command
from evalharness.cli.option_texts import job_options
from evalharness.cli.options import (
    debug_option,
    evaluation_options,
    json_option,
    quiet_option,
    seed_option,
    verbose_option,
    with_options,
)
from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.errors import NotComparableError, UsageError
from evalharness.experiments.jobs import RepairJob
from evalharness.experiments.repair_rules import RepairRule
from evalharness.records.job_options import make_job
from evalharness.report.repair import REPAIR
from evalharness.report.repair_table import path_table, sentences
from evalharness.report.text_table import terminal
from evalharness.results.files import REPORT
from evalharness.run.checks import check_job
from evalharness.run.output_folder import held_output


@click.command("repair", cls=Command)
@click.argument("candidate", metavar="[NAME=]CANDIDATE")
@click.option(
    "--base", metavar="[NAME=]PATH", help="What it was trained from; found beside the weights where it is recorded."
)
@click.option(
    "--rule",
    default=str(RepairRule.WITHIN_MARGIN),
    show_default=True,
    type=click.Choice([str(rule) for rule in RepairRule]),
    help="within-margin: the most gain whose suite keeps its margin; knee: most gain kept for the loss taken away.",
)
@click.option(
    "--blocks",
    default=1,
    show_default=True,
    metavar="N",
    type=int,
    help="Blocks of consecutive layers that get a λ each, from the one of all, by at most 2 N more looks.",
)
@click.option(
    "--choose-split",
    metavar="SPLIT",
    help="Choose on this split and confirm on the one that is evaluated, in place of halves of that.",
)
@click.option(
    "--target",
    metavar="TASK",
    shell_complete=completion.tasks,
    help="The task that it was trained for, where training.json does not say.",
)
@with_options(*evaluation_options(seed_option("halves, shots and resampling")))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for everything; give it again to go on.",
)
@with_options(json_option, quiet_option, verbose_option, debug_option)
def repair_command(**given: Any) -> int:
    """Look for a model between base and candidate that keeps most of the gain and little of the loss.

    Half of the rows of every task, or another split, choose how far to go (λ); the other half, not read before, gives
    the verdicts on candidate and repaired candidate. Leaves OUT/candidate, repair.json, results.json and report.html.
    Ends with 0 also where no λ helps, and says so; then no candidate is written (docs/repair.md). Interrupted, give the
    same command again: nothing is answered twice.
    """
    policy = policy_of(given["policy_text"])
    if not (given["suite"] or given["tasks"] or policy.suite):
        raise UsageError("repair", "nothing that may have been lost", "name a --suite or one or more --task")
    job = make_job((given["candidate"],), given["suite"], policy, **job_options(given))
    check_job(job)
    out = job.output.folder
    with held_output(job), progress.listener(given["quiet"] or given["as_json"], given["verbose"]) as listener:
        run_repair = registry.find(experiments.REGISTRY, "repair", "command")
        repair_job = RepairJob(job, RepairRule(given["rule"]), given["blocks"], given["choose_split"])
        repair, results = run_repair(repair_job, listener)
        document = (out / REPAIR.name).read_text(encoding="utf-8") if given["as_json"] else ""
    if given["as_json"]:
        print_json(document)
    else:
        print_lines(terminal(path_table(repair), terminal_width()))
        print_lines(sentences(repair))
        if results is not None:
            print_lines(registry.find(report.REGISTRY, "verdicts", "stage")(results, terminal_width()))
            print_line(f"\nrepaired: {out / 'candidate'}")
            print_line(f"report:   {out / REPORT}")
            name = shlex.quote(results.candidates[-1])
            print_line(f"gate:     evalharness gate {shlex.quote(str(out))} --candidate {name}")
    return NotComparableError.exit_code if results is not None and results.errors else 0
