"""`evalharness plan`: forecast what a comparison could decide, before any model answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from evalharness.analysis.policy_file import policy_of
from evalharness.cli import progress
from evalharness.cli.command import Command
from evalharness.cli.help import option_names
from evalharness.cli.option_texts import job_options, targets
from evalharness.cli.options import (
    alpha_option,
    data_options,
    debug_option,
    engine_options,
    example_options,
    json_option,
    margin_option,
    policy_option,
    quiet_option,
    seed_option,
    task_options,
    with_options,
)
from evalharness.cli.printing import print_json, print_lines
from evalharness.cli.train_options import method_options
from evalharness.errors import UsageError
from evalharness.experiments.forecast_text import document, lines
from evalharness.experiments.jobs import ForecastJob
from evalharness.experiments.power_forecast import forecast
from evalharness.experiments.training_forecast import forecast_training
from evalharness.notebook import PLAN
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.models import Method
from evalharness.results.files import to_json, write_text
from evalharness.run.checks import check_output
from evalharness.training.memory import HELD_DTYPES, METHODS, recipes, row_shape

TRAINING_PLAN = "training-plan.json"
OF_ANSWERS = {"--suite": "suite", "--task": "tasks", "--from": "earlier", "--probe": "probe", "--limit": "limit"}
OF_RECIPES = ("base", "batch_size", "gradient_accumulation", "gradient_checkpointing", "dtype")
SIZES = {  # options of `train` that change the memory, and their fields of a Recipe
    "--rank": "rank",
    "--targets": "targets",
    "--dora": "dora",
    "--virtual-tokens": "virtual_tokens",
    "--encoder-hidden": "hidden",
    "--train": "parameters",
}
OF_TRAINING = {
    "--method": "methods",
    **SIZES,
    "--max-length": "max_length",
    "--answer-tokens": "answer_tokens",
    "--gradient-accumulation": "gradient_accumulation",
    "--gradient-checkpointing": "gradient_checkpointing",
    "--weights-dtype": "weights_dtype",
}
COUNT = click.IntRange(min=1)

training_options = (
    click.option("--training", is_flag=True, help="Forecast instead the memory and disk that training --base takes."),
    click.option(
        "--method",
        "methods",
        multiple=True,
        type=click.Choice([method.value for method in Method]),
        help=f"--training: the method. Repeatable  [default: {', '.join(METHODS)}].",
    ),
    *(option for option in method_options if option_names((option,)) in SIZES),
    click.option(
        "--max-length", type=COUNT, help="--training: tokens of each row  [default: 512, or the window where smaller]."
    ),
    click.option(
        "--answer-tokens", type=COUNT, help="--training: tokens of each row that are learned  [default: all]."
    ),
    click.option("--gradient-accumulation", default=1, show_default=True, type=COUNT, help="--training: as in train."),
    click.option("--gradient-checkpointing", is_flag=True, help="--training: as in train."),
    click.option(
        "--weights-dtype",
        default="float32",
        show_default=True,
        type=click.Choice(HELD_DTYPES),
        help="--training: type of the trained weights in memory (train uses float32).",
    ),
)


@click.command("plan", cls=Command)
@with_options(*task_options, *data_options, *example_options, seed_option("shots, --limit and the draws"))
@with_options(policy_option, margin_option, alpha_option)
@click.option("--power", default=0.8, show_default=True, help="Probability with which a verdict should be reached.")
@click.option(
    "--flips",
    default=0.1,
    show_default=True,
    help="Assumed share of answers that change, where no earlier run shows it.",
)
@click.option(
    "--skill",
    default=0.5,
    show_default=True,
    help="Assumed skill of the base, from 0 (chance) to 1 (perfect), where no earlier run shows it.",
)
@click.option(
    "--from",
    "earlier",
    metavar="RUN[#NAME]",
    help="Finished run that shows how answers change: of this candidate, or of the one that changed most.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="Model that will be the base: its tokenizer counts tokens, its window cuts prompts.",
)
@click.option(
    "--probe",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Time N requests of each task on --base  [default: none].",
)
@with_options(*engine_options)
@with_options(*training_options)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=f"Folder that {PLAN} is written to.")
@with_options(json_option, quiet_option, debug_option)
def plan_command(**options: Any) -> None:
    """Forecast for every gate unit what a run could decide: the margin that it could certify, the drop that it would
    detect, the examples that it needs, and how often the gate passes if nothing was forgotten.

    No model answers anything except the requests of --probe. The share of answers that change is assumed (--flips), or
    taken from an earlier run (--from).

    With --training: forecast the memory that training a base takes; its config.json is enough (docs/plan.md).
    """
    if options["out"] is not None:
        check_output(options["out"])
    _refuse_mixed(options["training"])
    if options["training"]:
        _training(options)
        return
    forecast_job = ForecastJob(
        job=_job(options),
        power=options["power"],
        flips=options["flips"],
        skill=options["skill"],
        earlier=options["earlier"],
        probe=options["probe"],
    )
    with progress.listener(options["quiet"] or options["as_json"]) as listener:
        result = forecast(forecast_job, listener)
    if options["out"] is not None:
        write_text(options["out"] / PLAN, document(result))
    if options["as_json"]:
        print_json(document(result))
        return
    print_lines(lines(result))


def _refuse_mixed(training: bool) -> None:
    """Raise UsageError for an option on the command line that this kind of forecast does not use."""
    others, why, fix = OF_TRAINING, "is for --training", "give that, or leave it out"
    if training:
        others, why, fix = OF_ANSWERS, "is for a plan of answers", "leave it out, or leave out --training"
    stated = click.get_current_context().get_parameter_source
    for option, name in others.items():
        if stated(name) == ParameterSource.COMMANDLINE:
            raise UsageError(option, why, fix)


def _training(options: Mapping[str, Any]) -> None:
    if not options["base"]:
        raise UsageError("plan", "--training needs a base", "name it: --base PATH, a directory with config.json")
    shape = row_shape(options["base"], options["max_length"], options["answer_tokens"], options["weights_dtype"])
    values = {name: options[name] for name in (*OF_RECIPES, *SIZES.values())} | {"targets": targets(options["targets"])}
    result = forecast_training(recipes(options["methods"], values), shape)
    if options["out"] is not None:
        write_text(options["out"] / TRAINING_PLAN, to_json(result.document()))
    if options["as_json"]:
        print_json(to_json(result.document()))
        return
    print_lines(result.lines())


def _job(options: Mapping[str, Any]) -> Job:
    policy = policy_of(options["policy_text"])
    if not (options["suite"] or options["tasks"] or policy.suite):
        raise UsageError("plan", "nothing to plan", "name a --suite or one or more --task")
    return make_job((), options["suite"], policy, **job_options(options))
