"""`evalharness train`: train a candidate from a base and examples."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import click

from evalharness import experiments, registry, training
from evalharness.checkpoints.files import TRAINING
from evalharness.cli.defaults import Default, read_values, without_excluded
from evalharness.cli.help import SectionedCommand, option_names
from evalharness.cli.option_texts import columns, data_source, paths, shares, targets, weights
from evalharness.cli.options import debug_option, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.cli.train_options import SECTIONS
from evalharness.data.lock import default_lock
from evalharness.data.sources import check_overrides
from evalharness.errors import UsageError
from evalharness.paths import default_store
from evalharness.records.job_options import QuestionOptions
from evalharness.run.checks import check_paths, check_recipe, check_watched
from evalharness.tasks.library import Library
from evalharness.training.data import gather
from evalharness.training.recipe import Recipe
from evalharness.training.recipe_file import FIELDS, read_recipe_file
from evalharness.training.summary import summary


class TrainCommand(SectionedCommand):
    """The command `train`. If an option of another trainer is on the command line, it names the one here. `elsewhere`:
    those options, each with the one here.
    """

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

    def file_defaults(
        self, ctx: click.Context, values: Mapping[str, Any], order: Sequence[click.Parameter]
    ) -> dict[str, Default]:
        """Return the defaults of the repository's files, overridden by those of the file that --config names."""
        if not (config := values.get("config")):
            return super().file_defaults(ctx, values, order)
        path = Path(config)
        defaults = without_excluded(read_values(self, read_recipe_file(path), path, FIELDS), order)
        order_of_all = [*order, *(each for each in self.params if each.name in defaults)]
        return {**super().file_defaults(ctx, values, order_of_all), **defaults}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does. Raises UsageError for another trainer's option, and names the one here."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in self.elsewhere:
                raise UsageError(error.option_name, "no such option", self.elsewhere[error.option_name]) from None
            raise


@click.command("train", cls=TrainCommand)
@with_options(*(option for options in SECTIONS.values() for option in options))
@click.option("--json", "as_json", is_flag=True, help="Print training.json and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
@debug_option
def train_command(**options: Any) -> int:
    """Train a candidate from a base on a task's rows or on a file (docs/training.md).

    The loss is computed on the answers only. training.json beside the weights names base, task, data and settings, so
    that `evalharness run` needs no --base and no --target. The same seed gives the same weights on a CPU.
    """
    recipe = _recipe(options)
    if Path(recipe.out).exists():
        raise UsageError("--out", f"{recipe.out} exists already", "remove it, or name another folder")
    library = Library(options["include"])
    check_recipe(recipe, library)
    if options["push_to_hub"]:
        registry.find(training.REGISTRY, "check_hub", "stage")(options["push_to_hub"])
    check_paths({"--data-dir": options["data_dir"]})
    store, rows = default_store(os.environ), _rows(options)
    check_watched(recipe, rows, library)
    source = data_source(options, default_lock(store))
    examples = gather(recipe, library, source)
    check_overrides([library.task(name) for name in examples.tasks], source)
    registry.find(training.REGISTRY, "check", "stage")(recipe)
    train = registry.find(experiments.REGISTRY, "train", "command")
    report = _silent if options["quiet"] or options["as_json"] else _tell
    out: Path = train(recipe, examples, report, rows, store)
    text = (out / TRAINING).read_text()
    if options["as_json"]:
        print_json(text)
    else:
        print_lines(summary(out, json.loads(text)))
    if options["push_to_hub"]:
        address = registry.find(training.REGISTRY, "push", "stage")(out, options["push_to_hub"])
        report(f"pushed to {address}")
    return 0


def _rows(options: Mapping[str, Any]) -> QuestionOptions:
    """Return the options that say from where the rows of tasks are read, in the form that an evaluation takes."""
    return QuestionOptions(
        data_dir=options["data_dir"],
        data=paths("--data", options["data"]),
        columns=columns(options["column_texts"]),
        include=options["include"],
    )


def _recipe(options: Mapping[str, Any]) -> Recipe:
    values = {field.name: options[field.name] for field in fields(Recipe) if field.name in options}
    typed = {name: str(values[name]) for name in ("out", "train_file", "validation_file") if values[name] is not None}
    parsed = {
        "targets": targets(options["targets"]),
        "mix": weights(options["mix_texts"]),
        "replay": shares("--replay", options["replay_texts"]),
    }
    recipe = Recipe.from_fields(values | typed | parsed)
    if options["column_texts"] and not (recipe.target or recipe.mix or recipe.replay):
        fix = "leave it out; a file's own keys are prompt and completion, or messages"
        raise UsageError("--columns", "is for rows of tasks, not for training files", fix)
    return recipe


def _tell(text: str) -> None:
    print_line(text, err=True)


def _silent(text: str) -> None: ...
