"""Define the options of `evalharness train`, in the sections of its help."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from evalharness.cli import completion
from evalharness.cli.options import data_options, mixing_options
from evalharness.records.models import Method
from evalharness.training.methods import ALL_LINEAR, ATTENTION, OPTIMIZERS, TRAINING_METHODS
from evalharness.training.recipe import Dtype, SavedDtype, Scheduler, TooLong

RATES = ", ".join(f"{method.rate:g} {name}" for name, method in TRAINING_METHODS.items())
METHODS = "; ".join(f"{name}: {method.what}" for name, method in TRAINING_METHODS.items())
FILE = click.Path(path_type=Path, dir_okay=False)
WORDS = (ALL_LINEAR, ATTENTION)

what_options = (
    click.option(
        "--config",
        type=FILE,
        help="YAML, TOML or JSON file of options, or a candidate's training.json; the command line comes before it.",
    ),
    click.option("--method", required=True, type=click.Choice([method.value for method in Method]), help=f"{METHODS}."),
    click.option(
        "--base",
        default="",
        metavar="PATH",
        help="Model to train: directory or hub id[@revision]; not needed with --after.",
    ),
    click.option(
        "--after",
        metavar="PATH",
        help="Candidate to continue from: its weights, its adapter, or its adapter merged (docs/training.md).",
    ),
    click.option(
        "--out", required=True, type=click.Path(path_type=Path), help="Folder of the candidate; must not exist."
    ),
)
example_options = (
    click.option(
        "--task",
        "target",
        default="",
        metavar="NAME",
        shell_complete=completion.tasks,
        help="Task to train on, from its training split. With --train-file: the task that the file teaches.",
    ),
    click.option(
        "--template",
        metavar="NAME",
        help="Train with this other wording of the task; all: rows spread over all its wordings.",
    ),
    click.option(
        "--train-file",
        type=FILE,
        help='File of training rows: lines of {"prompt", "completion"} or {"messages": [{"role", "content"}, …]}; '
        'also Alpaca, ShareGPT, {"text"}, a JSON array (docs/training.md).',
    ),
    *mixing_options,
    click.option(
        "--validation",
        type=float,
        metavar="FRACTION",
        help="Hold out this share of the examples, and keep the weights with the lowest loss on it.",
    ),
    click.option("--validation-file", type=FILE, help="Validate on this file instead."),
    *data_options,
)
length_options = (
    click.option("--steps", type=int, help="Optimiser steps."),
    click.option("--epochs", type=float, help="Passes over the examples, where --steps is not given  [default: 3]."),
    click.option(
        "--batch-size", default=16, show_default=True, type=int, help="Examples (or packs) of a forward pass."
    ),
    click.option(
        "--gradient-accumulation", default=1, show_default=True, type=int, help="Forward passes of an optimiser step."
    ),
    click.option("--lr", "learning_rate", type=float, help=f"Learning rate  [default: {RATES}]."),
    click.option(
        "--lr-scheduler",
        "scheduler",
        default="linear",
        show_default=True,
        type=click.Choice(get_args(Scheduler)),
        help="Schedule of the learning rate after warm-up.",
    ),
    click.option(
        "--warmup",
        default=0.05,
        show_default=True,
        type=float,
        help="Share of the steps in which the learning rate rises.",
    ),
    click.option("--weight-decay", default=0.0, show_default=True, type=float, help="Weight decay of every step."),
    click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        metavar="NAME",
        help=f"Optimizer: {', '.join(OPTIMIZERS)}  [default: adamw_torch, fused where torch has it].",
    ),
    click.option(
        "--max-grad-norm",
        default=1.0,
        show_default=True,
        type=float,
        help="Clip the gradient's norm over all trained parameters to this; 0: never.",
    ),
    click.option(
        "--seed",
        default=1234,
        show_default=True,
        type=int,
        help="Seed of initialisation, order, mixing and held-out examples.",
    ),
)
way_options = (
    click.option(
        "--eval-every",
        type=int,
        metavar="STEPS",
        help="Steps between validations  [default: one pass]; the best weights are kept.",
    ),
    click.option("--patience", type=int, metavar="N", help="Stop after N validations without a lower loss."),
    click.option(
        "--save-every",
        type=int,
        metavar="STEPS",
        help="Steps between saved states  [default: every 5 minutes]; after an interruption the same command resumes.",
    ),
    click.option(
        "--keep-checkpoints",
        type=int,
        metavar="STEPS",
        help="Steps between complete candidates in OUT/checkpoints/step-N; each takes as much disk as OUT.",
    ),
    click.option(
        "--watch",
        metavar="SUITE",
        shell_complete=completion.suites,
        help="Measure during training what is forgotten of this suite; the weights stay the same.",
    ),
    click.option("--watch-every", type=int, metavar="STEPS", help="Steps between them  [default: five times in all]."),
    click.option("--watch-limit", type=int, metavar="N", help="At most this many examples a task  [default: all]."),
    click.option(
        "--report-to",
        multiple=True,
        metavar="NAME",
        help="Log losses and --watch scores to tensorboard, wandb, …, too. Repeatable.",
    ),
    click.option(
        "--push-to-hub",
        metavar="USER/NAME",
        help="Upload the finished candidate to this repository; a new one is private.",
    ),
)
method_options = (
    click.option("--rank", type=int, help="lora, qlora: rank of the update  [default: 8]."),
    click.option(
        "--alpha", type=float, help="lora, qlora: the update is scaled by alpha / rank  [default: twice the rank]."
    ),
    click.option("--dropout", type=float, help="lora, qlora: dropout on the update's input  [default: 0]."),
    click.option(
        "--targets",
        help=f"lora, qlora, ia3: {' | '.join(WORDS)} | names (q_proj,v_proj) | a regular expression of whole paths.",
    ),
    click.option("--dora", is_flag=True, help="lora, qlora: train direction and magnitude separately (DoRA)."),
    click.option("--rslora", is_flag=True, help="lora, qlora: scale by alpha / √rank."),
    click.option("--virtual-tokens", type=int, help="prompt, prefix, p-tuning: number of tokens  [default: 20]."),
    click.option(
        "--encoder-hidden", "hidden", type=int, help="p-tuning: width of its network  [default: the model's]."
    ),
    click.option(
        "--train",
        "parameters",
        multiple=True,
        metavar="PATTERN",
        help="layers: parameters to train (*.layers.3.*, *norm*). Repeatable.",
    ),
)
machine_options = (
    click.option(
        "--max-length",
        type=int,
        metavar="TOKENS",
        help="Maximum tokens of an example, or of a pack  [default: the window; a pack: 1024].",
    ),
    click.option(
        "--too-long",
        default="cut",
        show_default=True,
        type=click.Choice(get_args(TooLong)),
        help="For a longer example: cut its beginning, drop it, or refuse to train (docs/training.md).",
    ),
    click.option(
        "--packing",
        is_flag=True,
        help="Pack several examples into a row, without attention between them (decoder-only models).",
    ),
    click.option("--group-by-length", is_flag=True, help="Make batches of examples of similar length."),
    click.option("--gradient-checkpointing", is_flag=True, help="Use less memory and more time."),
    click.option("--device", default="auto", show_default=True, metavar="NAME", help="Device: auto, cpu or cuda."),
    click.option(
        "--dtype",
        default="float32",
        show_default=True,
        type=click.Choice(get_args(Dtype)),
        help="Type that forward passes compute in.",
    ),
    click.option(
        "--save-dtype",
        type=click.Choice(get_args(SavedDtype)),
        help="Type of the candidate's files  [default: full weights as the base's, adapters float32].",
    ),
)


SECTIONS = {
    "Method and base": what_options,
    "Examples": example_options,
    "Length and learning rate": length_options,
    "During training": way_options,
    "The method's own options": method_options,
    "Machine": machine_options,
}
