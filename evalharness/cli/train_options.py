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
        help="A YAML, TOML or JSON file of options, or a candidate's training.json; what is typed here stands over it.",
    ),
    click.option("--method", required=True, type=click.Choice([method.value for method in Method]), help=f"{METHODS}."),
    click.option(
        "--base",
        default="",
        metavar="PATH",
        help="What to train: directory or hub id[@revision]. Known where --after is given.",
    ),
    click.option(
        "--after",
        metavar="PATH",
        help="A candidate to go on from: its weights, its adapter, or its adapter merged (docs/training.md).",
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
        shell_complete=completion.tasks,
        help="The task to learn, from its training split. With --train-file: what the file teaches.",
    ),
    click.option(
        "--template",
        metavar="NAME",
        help="Ask in this other wording of the task; all: rows spread over all its wordings.",
    ),
    click.option(
        "--train-file",
        type=FILE,
        help='Lines of {"prompt", "completion"} or {"messages": [{"role", "content"}, …]}; '
        'also Alpaca, ShareGPT, {"text"}, a JSON array (docs/training.md).',
    ),
    *mixing_options,
    click.option(
        "--validation",
        type=float,
        metavar="FRACTION",
        help="Hold out this share of the examples, and keep the weights best on it.",
    ),
    click.option("--validation-file", type=FILE, help="Validate on this file instead."),
    *data_options,
)
length_options = (
    click.option("--steps", type=int, help="Optimiser steps."),
    click.option("--epochs", type=float, help="Passes over the examples, where --steps is not given [default: 3]."),
    click.option(
        "--batch-size", default=16, show_default=True, type=int, help="Examples (or packs) of a forward pass."
    ),
    click.option(
        "--gradient-accumulation", default=1, show_default=True, type=int, help="Forward passes of an optimiser step."
    ),
    click.option("--lr", "learning_rate", type=float, help=f"Learning rate [default: {RATES}]."),
    click.option(
        "--lr-scheduler",
        "scheduler",
        default="linear",
        show_default=True,
        type=click.Choice(get_args(Scheduler)),
        help="After warm-up.",
    ),
    click.option(
        "--warmup", default=0.05, show_default=True, type=float, help="Share of the steps in which the rate rises."
    ),
    click.option("--weight-decay", default=0.0, show_default=True, type=float, help="Of every step."),
    click.option(
        "--optimizer",
        type=click.Choice(OPTIMIZERS),
        metavar="NAME",
        help=f"Of {', '.join(OPTIMIZERS)} [default: adamw_torch, fused where torch has it].",
    ),
    click.option(
        "--max-grad-norm",
        default=1.0,
        show_default=True,
        type=float,
        help="Clip gradients at this norm over all trained parameters; 0: never.",
    ),
    click.option(
        "--seed",
        default=1234,
        show_default=True,
        type=int,
        help="Of initialisation, order, mixing and what is held out.",
    ),
)
way_options = (
    click.option(
        "--eval-every",
        type=int,
        metavar="STEPS",
        help="Validate so often [default: once a pass]; the best weights are kept.",
    ),
    click.option("--patience", type=int, metavar="N", help="Stop after N validations without a better loss."),
    click.option(
        "--save-every",
        type=int,
        metavar="STEPS",
        help="Save so often [default: every 5 minutes]; interrupted or killed, the same command goes on from there.",
    ),
    click.option(
        "--keep-checkpoints",
        type=int,
        metavar="STEPS",
        help="Keep a whole candidate so often, as OUT/checkpoints/step-N; each takes the room of OUT.",
    ),
    click.option(
        "--watch",
        metavar="SUITE",
        shell_complete=completion.suites,
        help="Measure on the way what is forgotten of this suite; the weights are those without it.",
    ),
    click.option("--watch-every", type=int, metavar="STEPS", help="How often [default: five times in all]."),
    click.option("--watch-limit", type=int, metavar="N", help="At most so many examples a task [default: all]."),
    click.option(
        "--report-to",
        multiple=True,
        metavar="NAME",
        help="Log losses and what is watched there, too: tensorboard, wandb, … Repeatable.",
    ),
    click.option(
        "--push-to-hub",
        metavar="USER/NAME",
        help="Upload the candidate once it is complete, to a repository that is made private where there is none.",
    ),
)
method_options = (
    click.option("--rank", type=int, help="lora, qlora: rank of the update [default: 8]."),
    click.option(
        "--alpha", type=float, help="lora, qlora: scale of the update, alpha / rank [default: twice the rank]."
    ),
    click.option("--dropout", type=float, help="lora, qlora: dropout on the update's input [default: 0]."),
    click.option(
        "--targets",
        help=f"lora, qlora, ia3: {' | '.join(WORDS)} | names (q_proj,v_proj) | a regular expression of whole paths.",
    ),
    click.option("--dora", is_flag=True, help="lora, qlora: direction and magnitude apart."),
    click.option("--rslora", is_flag=True, help="lora, qlora: scale by alpha / √rank."),
    click.option("--virtual-tokens", type=int, help="prompt, prefix, p-tuning: how many [default: 20]."),
    click.option("--encoder-hidden", "hidden", type=int, help="p-tuning: width of its network [default: the model's]."),
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
        help="Most tokens of an example, or of a pack [default: the window; a pack: 1024].",
    ),
    click.option(
        "--too-long",
        default="cut",
        show_default=True,
        type=click.Choice(get_args(TooLong)),
        help="What does not fit: cut its beginning, drop the example, or refuse to train (docs/training.md).",
    ),
    click.option(
        "--packing", is_flag=True, help="Several examples a row, which do not see one another (decoder-only models)."
    ),
    click.option("--group-by-length", is_flag=True, help="Batches of examples of about the same length."),
    click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
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
        help="Type of the candidate's files [default: full weights as the base's, adapters float32].",
    ),
)


SECTIONS = {
    "Method and base": what_options,
    "Examples": example_options,
    "Length and learning rate": length_options,
    "On the way": way_options,
    "The method's own options": method_options,
    "Machine": machine_options,
}
