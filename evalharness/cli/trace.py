"""`evalharness trace`: follow every task through the stages of a training, and say what was forgotten when."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry
from evalharness.analysis.policy_file import policy_of
from evalharness.cli import progress
from evalharness.cli.command import Command
from evalharness.cli.option_texts import job_options, pairs
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
from evalharness.errors import NotComparableError, UsageError
from evalharness.experiments.jobs import TraceJob
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.report.stage_tables import tables
from evalharness.report.stage_text import notes, sentences
from evalharness.report.stages import STAGES
from evalharness.report.text_table import terminal
from evalharness.results.files import REPORT
from evalharness.run.checks import check_job, check_models
from evalharness.run.output_folder import held_output


@click.command("trace", cls=Command)
@click.option(
    "--base", metavar="[NAME=]PATH", help="Model that the first stage was trained from  [default: what its files name]."
)
@click.option(
    "--stage", "stages", multiple=True, metavar="[NAME=]PATH", help="Stage of the training, in order. Repeatable."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="'DIR/*'",
    help="Instead of --stage: the checkpoint-N folders in DIR, in the order of N. Repeatable.",
)
@click.option(
    "--learned",
    multiple=True,
    metavar="STAGE=TASK,…",
    help="Tasks that a stage was trained on, where training.json names none. Repeatable.",
)
@click.option("--joint", metavar="[NAME=]PATH", help="Model trained on all tasks at once, for measuring intransigence.")
@click.option(
    "--fresh", metavar="[NAME=]PATH", help="Untrained model, for measuring forward transfer  [default: the base]."
)
@with_options(*evaluation_options(seed_option()), *stages_options)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results  [default: runs/<time>-<suite>].",
)
@with_options(json_option, quiet_option, verbose_option, debug_option)
def trace_command(**options: Any) -> int:
    """Follow every task through the stages of a training: its score after each, and what was forgotten when.

    Evaluates the base and all stages in one run, and writes stages.json beside its results: accuracy, backward and
    forward transfer, forgetting and intransigence with intervals, and for each task the first stage at which it is
    forgotten, corrected for all looks (docs/stages.md). After an interruption give the same command again: nothing is
    answered twice.
    """
    trace_job = TraceJob(_job(options), _learned(options["learned"]), options["joint"], options["fresh"])
    check_job(trace_job.job)
    check_models(filter(None, (options["joint"], options["fresh"])))
    quiet = options["quiet"] or options["as_json"]
    with held_output(trace_job.job) as job, progress.listener(quiet, options["verbose"]) as listener:
        run_trace = registry.find(experiments.REGISTRY, "trace", "command")
        stages, results = run_trace(replace(trace_job, job=job), listener)
        out = job.output.folder
        document = (out / STAGES.name).read_text(encoding="utf-8") if options["as_json"] else ""
    if options["as_json"]:
        print_json(document)
        return NotComparableError.exit_code if results.errors else 0
    for table in tables(stages):
        print_lines(terminal(table, terminal_width()))
    print_lines((*sentences(stages), *notes(stages)))
    print_line(f"\nreport: {out / REPORT}")
    if results.errors:
        print_line(f"{len(results.errors)} examples got no answer: evalharness gate {shlex.quote(str(out))}")
        return NotComparableError.exit_code
    return 0


def _learned(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse STAGE=TASK,… texts: return tasks by stage. Raises UsageError."""
    return {
        stage: tuple(task.strip() for task in tasks.split(",")) for stage, tasks in pairs("--learned", texts).items()
    }


def _job(options: Mapping[str, Any]) -> Job:
    policy = policy_of(options["policy_text"])
    if not (options["suite"] or options["tasks"] or options["learned"] or policy.suite):
        raise UsageError("trace", "nothing to evaluate", "name a --suite or one or more --task")
    return make_job(_models(options["stages"], options["models"]), options["suite"], policy, **job_options(options))


def _models(stages: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """Return the stages in their order. Raises UsageError if both options name stages: their common order is
    not known.
    """
    if stages and models:
        fix = "name all stages with --stage, 'DIR/*' included"
        raise UsageError("trace", "--stage and --model together have no order", fix)
    if not (stages or models):
        fix = "name them in order with --stage [NAME=]PATH, or --model 'DIR/*' for checkpoint-N folders"
        raise UsageError("trace", "no stage", fix)
    return (*stages, *models)
