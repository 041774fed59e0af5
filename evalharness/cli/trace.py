"""`evalharness trace`: ordered stages of training to what was forgotten when."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry
from evalharness.cli import progress
from evalharness.cli.options import (
    chat_options,
    data_options,
    debug_option,
    engine_options,
    engine_settings,
    margins,
    pairs,
    paths,
    with_options,
)
from evalharness.errors import NotComparableError, UsageError
from evalharness.paths import default_store, run_folder
from evalharness.records.job import Job
from evalharness.report.escape import plain
from evalharness.report.stage_tables import tables
from evalharness.report.stage_text import notes, sentences
from evalharness.report.stages import STAGES
from evalharness.report.text_table import terminal
from evalharness.results import REPORT
from evalharness.run.checks import check_job, check_models

SAME = (
    "base",
    "suite",
    "tasks",
    "data_dir",
    "include",
    "limit",
    "num_fewshot",
    "split",
    "seed",
    "alpha",
    "precision",
    "allow_noop",
)
CHAT = ("system_instruction", "fewshot_as_multiturn", "chat_template_mismatch")


@click.command("trace")
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
@click.option("--suite", help="A suite of tasks.")
@click.option("--task", "tasks", multiple=True, help="A task, group, tag or glob. Repeatable.")
@with_options(*data_options)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most this many examples a task (whole units, at least one), drawn with --seed.",
)
@click.option("--num-fewshot", type=click.IntRange(min=0), help="Examples in front of each question.")
@click.option("--split", help="Evaluate this split instead of each task's own.")
@with_options(*chat_options)
@click.option("--seed", default=1234, show_default=True, help="Of shots, --limit and resampling.")
@click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="The largest drop that is acceptable. Repeatable.",
)
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict.",
)
@with_options(*engine_options)
@click.option("--precision", type=click.Choice(["nf4", "fp4", "int8", "none"]), help="Of the base and adapters on it.")
@click.option("--allow-noop", is_flag=True, help="Accept an adapter that changes nothing (a step-0 checkpoint).")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of answers [default: in the user's cache directory].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results [default: runs/<time>-<suite>].",
)
@click.option("--json", "as_json", is_flag=True, help="Print stages.json and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every block of requests.")
@debug_option
def trace_command(**given: Any) -> int:
    """Follow every task through the stages of a training: scores after each, what was forgotten and when.

    One run over the base and all stages, and stages.json beside its results: accuracy, backward and forward transfer,
    forgetting and intransigence with intervals, and for each task the first stage at which it is forgotten, corrected
    for all looks (docs/stages.md). Interrupted, give the same command again: nothing is answered twice.
    """
    job = _job(given)
    check_job(job)
    check_models(filter(None, (given["joint"], given["fresh"])))
    asked_type, run_trace = (registry.find(experiments.REGISTRY, name, "campaign") for name in ("trace-asked", "trace"))
    learned = {
        stage: tuple(task.strip() for task in of.split(","))
        for stage, of in pairs("--learned", given["learned"]).items()
    }
    asked = asked_type(job, learned, given["joint"], given["fresh"])
    with progress.listener(given["quiet"] or given["as_json"], given["verbose"]) as listener:
        stages, found = run_trace(asked, listener)
    if given["as_json"]:
        click.echo((asked.job.out / STAGES).read_text(encoding="utf-8"), nl=False)
    else:
        for table in tables(stages):
            for line in terminal(table):
                click.echo(line)
        for sentence in (*sentences(stages), *notes(stages)):
            click.echo(plain(sentence))
        click.echo(f"\nreport: {asked.job.out / REPORT}")
        if found.errors:
            click.echo(
                f"{len(found.errors)} examples got no answer: evalharness gate {shlex.quote(str(asked.job.out))}"
            )
    return NotComparableError.exit_code if found.errors else 0


def _job(given: dict[str, Any]) -> Job:
    if not (given["suite"] or given["tasks"] or given["learned"]):
        raise UsageError("trace", "nothing to evaluate", "name a --suite or one or more --task")
    margin, named = margins(given["margin_texts"])
    return Job(
        models=_models(given["stages"], given["models"]),
        **{key: given[key] for key in (*SAME, *CHAT)},
        apply_chat_template=given["apply_chat_template"] or False,
        data=paths("--data", given["data"]),
        margin=margin,
        margins=named,
        out=given["out"] or run_folder(given["suite"]),
        store=given["store"] or default_store(os.environ),
        settings=engine_settings(given),
    )


def _models(stages: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """The stages in order; of the two options, whose order among each other is not known, only one may be given."""
    if stages and models:
        raise UsageError(
            "trace", "--stage and --model together have no order", "name all stages with --stage, 'DIR/*' included"
        )
    if not (stages or models):
        raise UsageError(
            "trace",
            "no stage",
            "name them in order with --stage [NAME=]PATH, or --model 'DIR/*' for checkpoint-N folders",
        )
    return (*stages, *models)
