"""`evalharness sweep`: methods × ranks × learning rates × seeds to one fair comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry
from evalharness.cli import progress
from evalharness.cli.options import (
    data_options,
    debug_option,
    engine_options,
    engine_settings,
    margins,
    number,
    paths,
    shares,
    targets,
    weights,
    with_options,
)
from evalharness.errors import NotComparableError, UsageError
from evalharness.experiments.grid import EVERY, Grid
from evalharness.records.job import Job
from evalharness.report.sweep_tables import tables
from evalharness.report.text_table import terminal
from evalharness.results import REPORT
from evalharness.run.checks import check_job
from evalharness.training.methods import ALL_LINEAR, ATTENTION, TRAINING_METHODS

SHARED = (
    "steps",
    "epochs",
    "gradient_accumulation",
    "warmup",
    "template",
    "alpha",
    "dropout",
    "virtual_tokens",
    "device",
)
METHODS, DTYPES = "full,lora,prompt", ("float32", "bfloat16")


@click.command("sweep")
@click.option("--base", required=True, metavar="PATH", help="What to train: directory or hub id[@revision].")
@click.option("--task", "target", required=True, help="The task to learn, from its training split.")
@click.option("--suite", required=True, help="What may be forgotten: a suite of tasks.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for everything; give it again to go on.",
)
@click.option(
    "--method",
    "methods",
    default=METHODS,
    show_default=True,
    metavar="NAME,…",
    help=f"Of {', '.join(TRAINING_METHODS)}.",
)
@click.option(
    "--lr",
    "rate_texts",
    multiple=True,
    metavar="[METHOD=]RATE,…",
    help="Learning rates of all methods or of one [default: one each].",
)
@click.option("--rank", "rank_text", metavar="N,…", help="Ranks of methods that have one [default: 8].")
@click.option("--seed", "seed_text", default="1234", show_default=True, metavar="N,…", help="Training seeds.")
@click.option(
    "--select",
    metavar="METRIC",
    help="What a rate is chosen by: a metric of the task, or loss [default: the one that decides the task].",
)
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--epochs", type=float, help="Passes over the examples, where --steps is not given [default: 3].")
@click.option("--batch-size", default=16, show_default=True, type=int, help="Examples of a batch in training.")
@click.option("--gradient-accumulation", default=1, show_default=True, type=int, help="Batches of an optimiser step.")
@click.option(
    "--warmup", default=0.05, show_default=True, type=float, help="Share of the steps in which the rate rises."
)
@click.option("--template", metavar="NAME", help="Train in this other wording; all: rows spread over the wordings.")
@click.option("--alpha", type=float, help="LoRA: scale of the update, alpha / rank [default: twice the rank].")
@click.option("--dropout", type=float, help="LoRA: dropout on its input.")
@click.option(
    "--targets",
    help=f"lora, qlora, ia3: {ALL_LINEAR} | {ATTENTION} | names (q_proj,v_proj) | a regular expression of whole paths.",
)
@click.option("--virtual-tokens", type=int, help="Soft prompts and prefixes: their length [default: 20].")
@click.option(
    "--train",
    "parameter_texts",
    multiple=True,
    metavar="PATTERN",
    help="layers: parameters to train (*norm*). Repeatable.",
)
@click.option(
    "--mix",
    "mix_texts",
    multiple=True,
    metavar="TASK[=WEIGHT]",
    help="Learn this task, group or suite, too; the target weighs 1.",
)
@click.option(
    "--replay",
    "replay_texts",
    multiple=True,
    metavar="TASK=FRACTION",
    help="Share of the examples from an old task, group or suite.",
)
@click.option(
    "--train-dtype", default="float32", show_default=True, type=click.Choice(DTYPES), help="Of the weights in training."
)
@with_options(*data_options)
@click.option(
    "--limit", type=click.IntRange(min=1), help="At most this many examples a task, to choose on and to report on."
)
@click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="The largest drop that is acceptable. Repeatable.",
)
@with_options(*engine_options[:4])
@click.option(
    "--eval-batch-size",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    help="Most rows of a forward pass in evaluation.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Candidates made at a time, each by a process of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print sweep.json and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug_option
def sweep_command(**given: Any) -> int:
    """Train a grid of candidates, choose one learning rate for each method and rank on validation rows, and compare
    those on test rows.

    Test rows are read when the rates are chosen, not before. A task without validation rows of its own is chosen on a
    tenth of its training rows, which are then not trained on. Leaves sweep.json, results.json and report.html in --out.
    Interrupted, give the same command again: nothing is trained or answered twice. With several --jobs, set
    OMP_NUM_THREADS, so that going on with another number of them finds the same answers.
    """
    job, grid = _job(given), _grid(given)
    check_job(job)
    asked_type, run_sweep = (registry.find(experiments.REGISTRY, name, "campaign") for name in ("sweep-asked", "sweep"))
    asked = asked_type(job, grid, given["select"], given["jobs"])
    with progress.listener(given["quiet"] or given["as_json"]) as listener:
        sweep, found = run_sweep(asked, listener)
    if given["as_json"]:
        click.echo((asked.job.out / "sweep.json").read_text(encoding="utf-8"), nl=False)
    else:
        for table in tables(sweep):
            for line in terminal(table):
                click.echo(line)
        click.echo(f"report: {asked.job.out / REPORT}")
    return NotComparableError.exit_code if found.errors else 0


def _job(given: dict[str, Any]) -> Job:
    margin, named = margins(given["margin_texts"])
    out = given["out"]
    return Job(
        models=(),
        **{key: given[key] for key in ("base", "suite", "target", "data_dir", "include", "limit", "out")},
        data=paths("--data", given["data"]),
        store=out / "store.sqlite",
        margin=margin,
        margins=named,
        settings=engine_settings(given, "eval_batch_size"),
    )


def _grid(given: dict[str, Any]) -> Grid:
    shared = {key: given[key] for key in SHARED if given[key] is not None}
    shared |= {"batch_size": given["batch_size"], "dtype": given["train_dtype"]}
    shared |= {"mix": weights(given["mix_texts"]), "replay": shares("--replay", given["replay_texts"])}
    shared |= {"targets": targets(given["targets"])} if given["targets"] is not None else {}
    shared |= {"parameters": given["parameter_texts"]} if given["parameter_texts"] else {}
    ranks = tuple(_whole("--rank", part) for part in given["rank_text"].split(",")) if given["rank_text"] else ()
    seeds = tuple(_whole("--seed", part) for part in given["seed_text"].split(","))
    return Grid(
        tuple(part.strip() for part in given["methods"].split(",")), _rates(given["rate_texts"]), ranks, seeds, shared
    )


def _rates(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """ "1e-4,3e-4" and "lora=1e-3,3e-3" as rates by method."""
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        method, equals, values = text.rpartition("=")
        method = method if equals else EVERY
        if method in found:
            raise UsageError(
                "--lr",
                f"{text!r}: rates of {method or 'all methods'} are given twice",
                "all of them, separated by commas",
            )
        found[method] = tuple(number("--lr", part) for part in values.split(","))
    return found


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(option, f"{text!r} is no whole number", "such as 8, several separated by commas") from None
