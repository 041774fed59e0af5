"""`evalharness sweep`: train a grid of methods, ranks, learning rates and seeds, and compare the best of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from evalharness import experiments, registry
from evalharness.analysis.policy_file import policy_of
from evalharness.cli import completion, progress
from evalharness.cli.command import Command
from evalharness.cli.option_texts import job_options, number, shares, targets, weights
from evalharness.cli.options import (
    data_options,
    debug_option,
    engine_options,
    json_option,
    limit_option,
    margin_option,
    mixing_options,
    policy_option,
    quiet_option,
    with_options,
)
from evalharness.cli.printing import print_json, print_line, print_lines, terminal_width
from evalharness.errors import NotComparableError, UsageError
from evalharness.experiments.grid import Grid
from evalharness.experiments.jobs import SweepJob
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.report.sweep import SWEEP
from evalharness.report.sweep_tables import tables
from evalharness.report.text_table import terminal
from evalharness.results.files import REPORT
from evalharness.run.checks import check_job
from evalharness.run.output_folder import held_output
from evalharness.training.methods import ALL_LINEAR, ATTENTION, TRAINING_METHODS

METHODS, DTYPES = "full,lora,prompt", ("float32", "bfloat16")
SHARED = (  # options that are fields of every recipe
    *("steps", "epochs", "gradient_accumulation", "warmup", "template", "alpha", "dropout", "virtual_tokens"),
    *("device", "batch_size"),
)


@click.command("sweep", cls=Command)
@click.option("--base", required=True, metavar="PATH", help="Model to train: directory or hub id[@revision].")
@click.option(
    "--task",
    "target",
    required=True,
    metavar="NAME",
    shell_complete=completion.tasks,
    help="Task to train on, from its training split.",
)
@click.option("--suite", required=True, shell_complete=completion.suites, help="Suite of tasks that may be forgotten.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of candidates and results; name it again to resume.",
)
@click.option(
    "--method",
    "methods",
    default=METHODS,
    show_default=True,
    metavar="NAME,…",
    help=f"Methods, out of {', '.join(TRAINING_METHODS)}.",
)
@click.option(
    "--lr",
    "rate_texts",
    multiple=True,
    metavar="[METHOD=]RATE,…",
    help="Learning rates of all methods or of one. Repeatable  [default: each method's own].",
)
@click.option("--rank", "rank_text", metavar="N,…", help="Ranks of methods that have one  [default: 8].")
@click.option("--seed", "seed_text", default="1234", show_default=True, metavar="N,…", help="Training seeds.")
@click.option(
    "--select",
    metavar="METRIC",
    help="Metric of the task that chooses the learning rate, or loss  [default: the task's primary metric].",
)
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--epochs", type=float, help="Passes over the examples, where --steps is not given  [default: 3].")
@click.option("--batch-size", default=16, show_default=True, type=int, help="Examples of a training batch.")
@click.option("--gradient-accumulation", default=1, show_default=True, type=int, help="Batches of an optimiser step.")
@click.option(
    "--warmup", default=0.05, show_default=True, type=float, help="Share of the steps in which the learning rate rises."
)
@click.option("--template", metavar="NAME", help="Train with this other wording; all: rows spread over the wordings.")
@click.option("--alpha", type=float, help="LoRA: the update is scaled by alpha / rank  [default: twice the rank].")
@click.option("--dropout", type=float, help="LoRA: dropout on the update's input.")
@click.option(
    "--targets",
    help=f"lora, qlora, ia3: {ALL_LINEAR} | {ATTENTION} | names (q_proj,v_proj) | a regular expression of whole paths.",
)
@click.option("--virtual-tokens", type=int, help="Soft prompts and prefixes: number of tokens  [default: 20].")
@click.option(
    "--train",
    "parameter_texts",
    multiple=True,
    metavar="PATTERN",
    help="layers: parameters to train (*norm*). Repeatable.",
)
@with_options(*mixing_options)
@click.option(
    "--train-dtype", default="float32", show_default=True, type=click.Choice(DTYPES), help="Type used in training."
)
@with_options(*data_options, limit_option("seed 1234"), policy_option, margin_option, *engine_options[:-2])
@click.option(
    "--eval-batch-size",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum rows of a forward pass in evaluation.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Candidates trained at a time, each in its own process.",
)
@with_options(json_option, quiet_option, debug_option)
def sweep_command(**options: Any) -> int:
    """Train a grid of candidates, choose one learning rate for each method and rank on validation rows, and compare
    those on test rows.

    Test rows are read only after the rates are chosen. For a task without validation rows, a tenth of the training rows
    is held out to choose on. Writes sweep.json, results.json and report.html to --out. After an interruption give the
    same command again: nothing is trained or answered twice. With several --jobs, set OMP_NUM_THREADS, so that a
    resumed sweep with another number of jobs gets the same answers.
    """
    sweep_job = SweepJob(_job(options), _grid(options), options["select"], options["jobs"])
    check_job(sweep_job.job)
    out: Path = sweep_job.job.output.folder
    with held_output(sweep_job.job), progress.listener(options["quiet"] or options["as_json"]) as listener:
        run_sweep = registry.find(experiments.REGISTRY, "sweep", "command")
        sweep, results = run_sweep(sweep_job, listener)
        document = (out / SWEEP.name).read_text(encoding="utf-8") if options["as_json"] else ""
    if options["as_json"]:
        print_json(document)
    else:
        for table in tables(sweep):
            print_lines(terminal(table, terminal_width()))
        print_line(f"report: {out / REPORT}")
    return NotComparableError.exit_code if results.errors else 0


def _job(options: Mapping[str, Any]) -> Job:
    of_training = {"alpha": None}  # LoRA's
    of_evaluation = {"batch_size": options["eval_batch_size"], "store": options["out"] / "store.sqlite"}
    return make_job(
        (),
        options["suite"],
        policy_of(options["policy_text"]),
        **job_options({**options, **of_training, **of_evaluation}),
    )


def _grid(options: Mapping[str, Any]) -> Grid:
    shared = {key: options[key] for key in SHARED if options[key] is not None}
    shared |= {"dtype": options["train_dtype"], "mix": weights(options["mix_texts"])}
    shared["replay"] = shares("--replay", options["replay_texts"])
    if options["targets"] is not None:
        shared["targets"] = targets(options["targets"])
    if options["parameter_texts"]:
        shared["parameters"] = options["parameter_texts"]
    return Grid(
        methods=tuple(part.strip() for part in options["methods"].split(",")),
        rates=_rates(options["rate_texts"]),
        ranks=_whole_numbers("--rank", options["rank_text"]) if options["rank_text"] else (),
        seeds=_whole_numbers("--seed", options["seed_text"]),
        shared=shared,
    )


def _rates(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Parse "1e-4,3e-4" and "lora=1e-3,3e-3": return learning rates by method. Raises UsageError."""
    rates: dict[str, tuple[float, ...]] = {}
    for text in texts:
        method, _, values = text.rpartition("=")  # EVERY where no method is named
        if method in rates:
            what = f"{text!r}: rates of {method or 'all methods'} are given twice"
            raise UsageError("--lr", what, "all of them, separated by commas")
        rates[method] = tuple(number("--lr", part) for part in values.split(","))
    return rates


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split(","):
        try:
            numbers.append(int(part))
        except ValueError:
            what = f"{part!r} is no whole number"
            raise UsageError(option, what, "such as 8, several separated by commas") from None
    return tuple(numbers)
