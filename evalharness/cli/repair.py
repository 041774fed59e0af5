"""`evalharness repair`: move a candidate part of the way back to its base, so that it forgets less."""

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
    "--base", metavar="[NAME=]PATH", help="The model that it was trained from  [default: what its files name]."
)
@click.option(
    "--rule",
    default=str(RepairRule.WITHIN_MARGIN),
    show_default=True,
    type=click.Choice([str(rule) for rule in RepairRule]),
    help="How λ is chosen: within-margin: the most gain at which the suite keeps its margin; knee: the best trade of "
    "gain for loss.",
)
@click.option(
    "--blocks",
    default=1,
    show_default=True,
    metavar="N",
    type=int,
    help="Number of blocks of consecutive layers that get their own λ, in at most 2 N more evaluations.",
)
@click.option(
    "--choose-split",
    metavar="SPLIT",
    help="Choose λ on this split and confirm on the evaluated one  [default: halves of the evaluated split].",
)
@click.option(
    "--target",
    metavar="TASK",
    shell_complete=completion.tasks,
    help="The task that it was trained for, where training.json names none.",
)
@with_options(*evaluation_options(seed_option("halves, shots and resampling")))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results; name it again to resume.",
)
@with_options(json_option, quiet_option, verbose_option, debug_option)
def repair_command(**options: Any) -> int:
    """Search between base and candidate for a model that keeps most of the gain and little of the loss.

    Half of the rows of every task, or another split, choose how far to go (λ); the other half, not read before, gives
    the verdicts on candidate and repaired candidate. Writes OUT/candidate, repair.json, results.json and report.html.
    Where no λ helps it says so, writes no candidate, and ends with 0, too (docs/repair.md). After an interruption give
    the same command again: nothing is answered twice.
    """
    policy = policy_of(options["policy_text"])
    if not (options["suite"] or options["tasks"] or policy.suite):
        raise UsageError("repair", "no task to evaluate", "name a --suite or one or more --task")
    job = make_job((options["candidate"],), options["suite"], policy, **job_options(options))
    check_job(job)
    out = job.output.folder
    with held_output(job), progress.listener(options["quiet"] or options["as_json"], options["verbose"]) as listener:
        run_repair = registry.find(experiments.REGISTRY, "repair", "command")
        repair_job = RepairJob(job, RepairRule(options["rule"]), options["blocks"], options["choose_split"])
        repair, results = run_repair(repair_job, listener)
        document = (out / REPAIR.name).read_text(encoding="utf-8") if options["as_json"] else ""
    if options["as_json"]:
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
