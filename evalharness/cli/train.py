"""`evalharness train`: train a candidate from a base and examples."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, get_args

import click

from evalharness import registry, training
from evalharness.checkpoints.files import TRAINING
from evalharness.cli import completion
from evalharness.cli.help import SectionedCommand, option_names
from evalharness.cli.option_texts import data_source, shares, targets, weights
from evalharness.cli.options import data_options, debug_option, mixing_options, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.data.lock import default_lock
from evalharness.data.sources import check_overrides
from evalharness.errors import UsageError
from evalharness.paths import default_store
from evalharness.records.models import Method
from evalharness.run.checks import check_paths, check_recipe
from evalharness.tasks.library import Library
from evalharness.training.data import gather
from evalharness.training.methods import ALL_LINEAR, ATTENTION, TRAINING_METHODS
from evalharness.training.recipe import Dtype, Recipe, SavedDtype, Scheduler
from evalharness.training.summary import summary

RATES = ", ".join(f"{method.rate:g} {name}" for name, method in TRAINING_METHODS.items())
METHODS = "; ".join(f"{name}: {method.what}" for name, method in TRAINING_METHODS.items())
FILE = click.Path(path_type=Path, dir_okay=False)
WORDS = (ALL_LINEAR, ATTENTION)

what_options = (
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
    click.option("--weight-decay", default=0.0, show_default=True, type=float, help="AdamW's."),
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
        "--seed",
        default=1234,
        show_default=True,
        type=int,
        help="Of initialisation, order, mixing and what is held out.",
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
    "The method's own options": method_options,
    "Machine": machine_options,
}


class TrainCommand(SectionedCommand):
    """Answers options of other commands and trainers by what they are called here."""

    sections: ClassVar = {title: option_names(options) for title, options in SECTIONS.items()}
    elsewhere: ClassVar = {
        "--limit": "all rows of the training split are drawn from; --steps bounds how many are seen",
        "--num-train-epochs": "--epochs",
        "--max-steps": "--steps",
        "--per-device-train-batch-size": "--batch-size",
        "--output-dir": "--out",
        "--model": "--base",
        "--dataset": "--task, or --train-file",
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does. Raises UsageError for an option that is called otherwise here, saying how."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.elsewhere:
                raise UsageError(error.option_name, "no such option", self.elsewhere[error.option_name]) from None
            raise


@click.command("train", cls=TrainCommand)
@with_options(*(option for options in SECTIONS.values() for option in options))
@click.option("--json", "as_json", is_flag=True, help="Print training.json and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug_option
def train_command(**given: Any) -> int:
    """Train a candidate from a base on a task's rows or on a file (docs/training.md).

    The loss is on the answers only. training.json beside the weights names base, task, data and settings, so that
    `evalharness run` needs no --base and no --target. The same seed gives the same weights on a CPU.
    """
    recipe = _recipe(given)
    if Path(recipe.out).exists():
        raise UsageError("--out", f"{recipe.out} exists already", "remove it, or name another folder")
    library = Library(given["include"])
    check_recipe(recipe, library)
    check_paths({"--data-dir": given["data_dir"]})
    source = data_source(given, default_lock(default_store(os.environ)))
    examples = gather(recipe, library, source)
    check_overrides([library.task(name) for name in examples.tasks], source)
    registry.find(training.REGISTRY, "check", "stage")(recipe)
    train = registry.find(training.REGISTRY, "train", "stage")
    out: Path = train(recipe, examples, _silent if given["quiet"] or given["as_json"] else _tell)
    text = (out / TRAINING).read_text()
    if given["as_json"]:
        print_json(text)
    else:
        print_lines(summary(out, json.loads(text)))
    return 0


def _recipe(given: Mapping[str, Any]) -> Recipe:
    values = {field.name: given[field.name] for field in fields(Recipe) if field.name in given}
    typed = {name: str(values[name]) for name in ("out", "train_file", "validation_file") if values[name] is not None}
    parsed = {
        "targets": targets(given["targets"]),
        "mix": weights(given["mix_texts"]),
        "replay": shares("--replay", given["replay_texts"]),
    }
    recipe = Recipe.from_fields(values | typed | parsed)
    if given["column_texts"] and not (recipe.target or recipe.mix or recipe.replay):
        fix = "leave it out; a file's own keys are prompt and completion, or messages"
        raise UsageError("--columns", "is for rows of tasks, not for training files", fix)
    return recipe


def _tell(text: str) -> None:
    print_line(text, err=True)


def _silent(text: str) -> None: ...
