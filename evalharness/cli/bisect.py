"""`evalharness bisect`: find the first checkpoint of a training that forgot, in few evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry
from evalharness.analysis.gate import GateOutcome
from evalharness.analysis.policy_file import policy_of
from evalharness.checkpoints.discover import steps_of
from evalharness.cli import completion, progress
from evalharness.cli.command import Command
from evalharness.cli.option_texts import job_options
from evalharness.cli.options import (
    debug_option,
    evaluation_options,
    json_option,
    quiet_option,
    seed_option,
    stages_options,
    verbose_option,
    with_options,
)
from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.errors import UsageError
from evalharness.experiments.bisect_search import BisectOutcome
from evalharness.experiments.jobs import BisectJob
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.report.bisect import BISECT
from evalharness.report.bisect_table import looks_table, sentences
from evalharness.report.text_table import terminal
from evalharness.results.files import REPORT
from evalharness.run.checks import check_job
from evalharness.run.output_folder import held_output

EXIT_CODES = {
    BisectOutcome.NOTHING: GateOutcome.PASSED,
    BisectOutcome.FOUND: GateOutcome.FORGOTTEN,
    BisectOutcome.NOT_MONOTONE: GateOutcome.UNDECIDED,
    BisectOutcome.UNDECIDED: GateOutcome.UNDECIDED,
}


@click.command("bisect", cls=Command)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Instead of FOLDER: a checkpoint, or 'DIR/*' for all in DIR; give them in order. Repeatable.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="The model that the training began from  [default: what the checkpoints name].",
)
@click.option(
    "--unit",
    metavar="TASK",
    shell_complete=completion.tasks,
    help="Follow only this gate unit  [default: any that is forgotten].",
)
@with_options(*evaluation_options(seed_option()), *stages_options)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results; name it again to resume  [default: runs/<time>-<suite>].",
)
@with_options(json_option, quiet_option, verbose_option, debug_option)
def bisect_command(**options: Any) -> int:
    """Find the first checkpoint of a training that forgot, in at most ⌈log2 N⌉ + 2 evaluations of N checkpoints.

    FOLDER holds step-N or checkpoint-N folders, as train --keep-checkpoints writes them. The last checkpoint is
    evaluated first, then the middle of what remains; α is divided among the looks. Writes OUT/bisect.json and a run for
    each look. Exit codes: 0 nothing is forgotten, 3 the first checkpoint that forgot is named, 4 undecided, or the
    losses are not monotone, 5 answers are missing (docs/stages.md). After an interruption give the same command again:
    nothing is answered twice.
    """
    job = _job(options)
    check_job(job)
    quiet = options["quiet"] or options["as_json"]
    with held_output(job) as job, progress.listener(quiet, options["verbose"]) as listener:
        run_bisect = registry.find(experiments.REGISTRY, "bisect", "command")
        bisection = run_bisect(BisectJob(job, options["unit"]), listener)
        document = (job.output.folder / BISECT.name).read_text(encoding="utf-8") if options["as_json"] else ""
    if options["as_json"]:
        print_json(document)
    else:
        print_lines(terminal(looks_table(bisection), terminal_width()))
        print_lines(sentences(bisection))
        print_line(f"\nlooks:  {job.output.folder / BISECT.name}, a run of each beside it")
        if (look := bisection.look_at(bisection.first)) is not None:
            print_line(f"report: {job.output.folder / look.folder / REPORT}")
    return int(EXIT_CODES[BisectOutcome(bisection.outcome)])


def _job(options: dict[str, Any]) -> Job:
    policy, folder, stages = policy_of(options["policy_text"]), options["folder"], options["stages"]
    if not (options["suite"] or options["tasks"] or policy.suite):
        raise UsageError("bisect", "no task to evaluate", "name a --suite or one or more --task")
    if (folder is None) == (not stages):
        what = "FOLDER and --stage together have no order" if stages else "no checkpoint"
        raise UsageError("bisect", what, "name a folder of checkpoints, or each in order with --stage")
    models = stages or steps_of(folder)
    return make_job(models, options["suite"], policy, **job_options(options))
