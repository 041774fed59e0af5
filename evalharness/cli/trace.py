"""`evalharness trace`: follow tasks through ordered stages of a training, and say what was forgotten when."""

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
    "--base",
    metavar="[NAME=]PATH",
    help="What the first stage was trained from; found beside the weights where it is recorded.",
)
@click.option(
    "--stage", "stages", multiple=True, metavar="[NAME=]PATH", help="A stage of training, in order. Repeatable."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="'DIR/*'",
    help="Instead: the checkpoint-N folders in DIR, in the order of N. Repeatable.",
)
@click.option(
    "--learned",
    multiple=True,
    metavar="STAGE=TASK,…",
    help="What a stage was trained on, where training.json does not say.",
)
@click.option(
    "--joint",
    metavar="[NAME=]PATH",
    help="A model trained on everything at once: what intransigence is measured against.",
)
@click.option(
    "--fresh",
    metavar="[NAME=]PATH",
    help="A model that learned nothing: what forward transfer is measured from [default: the base].",
)
@with_options(*evaluation_options(seed_option()), *stages_options)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results [default: runs/<time>-<suite>].",
)
@with_options(json_option, quiet_option, verbose_option, debug_option)
def trace_command(**given: Any) -> int:
    """Follow every task through the stages of a training: scores after each, what was forgotten and when.

    One run over the base and all stages, and stages.json beside its results: accuracy, backward and forward transfer,
    forgetting and intransigence with intervals, and for each task the first stage at which it is forgotten, corrected
    for all looks (docs/stages.md). Interrupted, give the same command again: nothing is answered twice.
    """
    trace_job = TraceJob(_job(given), _learned(given["learned"]), given["joint"], given["fresh"])
    check_job(trace_job.job)
    check_models(filter(None, (given["joint"], given["fresh"])))
    quiet = given["quiet"] or given["as_json"]
    with held_output(trace_job.job) as job, progress.listener(quiet, given["verbose"]) as listener:
        run_trace = registry.find(experiments.REGISTRY, "trace", "command")
        stages, results = run_trace(replace(trace_job, job=job), listener)
        out = job.output.folder
        document = (out / STAGES.name).read_text(encoding="utf-8") if given["as_json"] else ""
    if given["as_json"]:
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
    """STAGE=TASK,… texts as tasks by stage. Raises UsageError."""
    return {
        stage: tuple(task.strip() for task in tasks.split(",")) for stage, tasks in pairs("--learned", texts).items()
    }


def _job(given: Mapping[str, Any]) -> Job:
    policy = policy_of(given["policy_text"])
    if not (given["suite"] or given["tasks"] or given["learned"] or policy.suite):
        raise UsageError("trace", "nothing to evaluate", "name a --suite or one or more --task")
    return make_job(_models(given["stages"], given["models"]), given["suite"], policy, **job_options(given))


def _models(stages: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """The stages in order; of the two options, whose order among each other is not known, only one may be given."""
    if stages and models:
        fix = "name all stages with --stage, 'DIR/*' included"
        raise UsageError("trace", "--stage and --model together have no order", fix)
    if not (stages or models):
        fix = "name them in order with --stage [NAME=]PATH, or --model 'DIR/*' for checkpoint-N folders"
        raise UsageError("trace", "no stage", fix)
    return (*stages, *models)
