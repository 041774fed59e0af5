"""Define the options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from evalharness.cli import completion
from evalharness.records.policy import Against, OnInconclusive

Decorated = Callable[..., Any]

data_options: tuple[Decorated, ...] = (
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder with the rows of data sets: DIR/<dataset>/<config>/<split>.jsonl|csv|parquet …",
    ),
    click.option(
        "--data",
        multiple=True,
        metavar="NAME=PATH",
        help="Rows of a task or data set: a folder of splits, or a file. Repeatable.",
    ),
    click.option(
        "--columns",
        "column_texts",
        multiple=True,
        metavar="[NAME:]COLUMN=HEADER,…",
        help="What a file calls a column of a task; its number where the file has no header. Repeatable.",
    ),
    click.option(
        "--include-path",
        "include",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Folder with more task files. Repeatable.",
    ),
)
include_option = data_options[-1]
mixing_options: tuple[Decorated, ...] = (
    click.option(
        "--mix",
        "mix_texts",
        multiple=True,
        metavar="TASK[=WEIGHT]",
        help="Train on this task, group or suite, too; --task has weight 1. Repeatable.",
    ),
    click.option(
        "--replay",
        "replay_texts",
        multiple=True,
        metavar="TASK=FRACTION",
        help="Share of the training examples that comes from an old task, group or suite. Repeatable.",
    ),
)
task_options: tuple[Decorated, ...] = (
    click.option(
        "--suite",
        metavar="NAME",
        shell_complete=completion.suites,
        help="Suite of tasks: demo, forgetting, … (see `evalharness tasks list`).",
    ),
    click.option(
        "--task", "tasks", multiple=True, shell_complete=completion.tasks, help="Task, group, tag or glob. Repeatable."
    ),
)


def limit_option(drawn_with: str) -> Decorated:
    """Return the option `--limit`. `drawn_with`: the seed that draws the examples, in words."""
    text = f"At most this many examples of each task (whole units, at least one), drawn with {drawn_with}."
    return click.option("--limit", type=click.IntRange(min=1), help=text)


example_options: tuple[Decorated, ...] = (
    limit_option("--seed"),
    click.option(
        "--num-fewshot", type=click.IntRange(min=0), help="Number of few-shot examples  [default: the task's]."
    ),
    click.option("--split", metavar="NAME", help="Evaluate this split instead of each task's own."),
)
margin_option = click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="Largest acceptable drop of a score. Repeatable.",
)
policy_option = click.option(
    "--policy",
    "policy_text",
    metavar="FILE",
    help="File of the gate's policy; none: options alone  [default: [gate] of evalharness.toml, "
    "[tool.evalharness.gate] of pyproject.toml, here or above in the repository].",
)
policy_options: tuple[Decorated, ...] = (
    policy_option,
    click.option(
        "--on-inconclusive",
        type=click.Choice([str(choice) for choice in OnInconclusive]),
        help="Exit code for an undecided candidate: fail 4, pass 0  [default: fail].",
    ),
    click.option(
        "--ceiling",
        "ceiling_texts",
        multiple=True,
        metavar="[TASK=]LOSS",
        help="Let the gate pass only where a larger loss is excluded for every gate unit. Without TASK it holds for "
        "scores from 0 to 1, and every other gate unit (MCC, BLEU) needs its own. Repeatable.",
    ),
)
against_options: tuple[Decorated, ...] = (
    click.option(
        "--against",
        type=click.Choice([str(choice) for choice in Against]),
        help="Scores that the gate compares a candidate with: the run's base's, the accepted ones of the baseline "
        "file, or both the original base's and the accepted ones  [default: base].",
    ),
)
alpha_option = click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict  [default: 0.05].",
)
engine_options: tuple[Decorated, ...] = (
    click.option(
        "--engine",
        metavar="NAME",
        default="hf",
        show_default=True,
        help="Engine that answers: hf, openai, vllm, ray (docs/engines.md).",
    ),
    click.option(
        "--engine-option",
        "engine_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Setting of the engine. Repeatable.",
    ),
    click.option(
        "--ray-address",
        metavar="ADDRESS|auto",
        help="With --engine ray: address of a running cluster; auto: this machine's  [default: Ray is started here].",
    ),
    click.option(
        "--device", default="auto", show_default=True, metavar="NAME", help="Device: auto, cpu, cuda or cuda:N."
    ),
    click.option(
        "--dtype",
        default="float32",
        show_default=True,
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="Type of the weights.",
    ),
    click.option(
        "--generation-config",
        default="base",
        show_default=True,
        type=click.Choice(["base", "own", "plain"]),
        help="Generation config that is used: the base's for all, each model's own, or none (docs/checkpoints.md).",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Compute every row alone on one thread, so that other requests never change its bits; slow.",
    ),
    click.option(
        "--batch-size",
        default=16,
        show_default=True,
        type=click.IntRange(min=1),
        help="Maximum rows of a forward pass.",
    ),
    click.option(
        "--batch-tokens",
        default=2048,
        show_default=True,
        type=click.IntRange(min=1),
        help="Maximum rows × length of a forward pass; raise it on a GPU (docs/engine.md).",
    ),
)
chat_options: tuple[Decorated, ...] = (
    click.option(
        "--apply-chat-template",
        is_flag=False,
        flag_value="all",
        type=click.Choice(["all", "candidates"]),
        metavar="[=all|candidates]",
        help="Use each model's own chat template; candidates: theirs only, the base without one (docs/chat.md).",
    ),
    click.option("--system-instruction", metavar="TEXT", help="System message, before each task's description."),
    click.option(
        "--fewshot-as-multiturn/--no-fewshot-as-multiturn",
        default=None,
        help="With a chat template: each few-shot example as turns of its own (the default), or all in one turn.",
    ),
    click.option(
        "--chat-template-mismatch",
        type=click.Choice(["refuse", "allow"]),
        default="refuse",
        show_default=True,
        help="Where the templates give base and candidates different prompts: end with 5, or compare and flag every "
        "row.",
    ),
)
store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File in which answers are stored  [default: in the user's cache directory].",
)
noop_option = click.option(
    "--allow-noop", is_flag=True, help="Accept a copy of the base, and an adapter that changes nothing."
)
stages_options: tuple[Decorated, ...] = (  # of commands that compare stages of one training
    click.option(
        "--precision",
        type=click.Choice(["nf4", "fp4", "int8", "none"]),
        help="Quantisation of the base, with and without adapters.",
    ),
    noop_option,
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print no progress.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Print a line for every block of requests.")
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def seed_option(uses: str = "shots, --limit and resampling") -> Decorated:
    """Return the option `--seed`. `uses`: what it seeds, for its help."""
    return click.option("--seed", default=1234, type=click.IntRange(min=0), show_default=True, help=f"Seed of {uses}.")


def evaluation_options(seed: Decorated) -> tuple[Decorated, ...]:
    """Return the options that every experiment shares: tasks, data, prompts, verdicts, engine and store. `seed`: the
    option `--seed`.
    """
    questions = (*task_options, *data_options, *example_options, *chat_options, seed)
    return (*questions, policy_option, margin_option, alpha_option, *engine_options, store_option)


def with_options(*options: Decorated) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the options to a command, in this order."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
