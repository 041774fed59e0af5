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
        help="Folder with local data: DIR/<dataset>/<config>/<split>.jsonl|csv|parquet …",
    ),
    click.option(
        "--data", multiple=True, metavar="NAME=PATH", help="Rows of a task or data set: a folder of splits, or a file."
    ),
    click.option(
        "--columns",
        "column_texts",
        multiple=True,
        metavar="[NAME:]COLUMN=THERE,…",
        help="The file's name of a task's column (its number where the file names none). Repeatable.",
    ),
    click.option(
        "--include-path", "include", multiple=True, type=click.Path(path_type=Path), help="Folder with more task files."
    ),
)
include_option = data_options[-1]
mixing_options: tuple[Decorated, ...] = (
    click.option(
        "--mix",
        "mix_texts",
        multiple=True,
        metavar="TASK[=WEIGHT]",
        help="Learn this task, group or suite, too; the target weighs 1.",
    ),
    click.option(
        "--replay",
        "replay_texts",
        multiple=True,
        metavar="TASK=FRACTION",
        help="Share of the examples from an old task, group or suite.",
    ),
)
task_options: tuple[Decorated, ...] = (
    click.option(
        "--suite",
        shell_complete=completion.suites,
        help="A suite of tasks: demo, forgetting, … (see `evalharness tasks list`).",
    ),
    click.option(
        "--task",
        "tasks",
        multiple=True,
        shell_complete=completion.tasks,
        help="A task, group, tag or glob. Repeatable.",
    ),
)
limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most this many examples a task (whole units, at least one), drawn with --seed.",
)
example_options: tuple[Decorated, ...] = (
    limit_option,
    click.option("--num-fewshot", type=click.IntRange(min=0), help="Examples in front of each question."),
    click.option("--split", help="Evaluate this split instead of each task's own."),
)
margin_option = click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="The largest drop that is acceptable. Repeatable.",
)
policy_option = click.option(
    "--policy",
    "policy_text",
    metavar="FILE",
    help="The policy's file; none: options alone  [default: [gate] of evalharness.toml, [tool.evalharness.gate] of "
    "pyproject.toml, here or above in the repository].",
)
policy_options: tuple[Decorated, ...] = (
    policy_option,
    click.option(
        "--on-inconclusive",
        type=click.Choice([str(choice) for choice in OnInconclusive]),
        help="What an undecided candidate means for the gate: exit code 4, or 0  [default: fail].",
    ),
    click.option(
        "--ceiling",
        "ceiling_texts",
        multiple=True,
        metavar="[TASK=]LOSS",
        help="The gate passes only where a larger loss is excluded of every gate unit. Without TASK it is for what is "
        "scored from 0 to 1; every other gate unit (MCC, BLEU) needs one by name then. Repeatable.",
    ),
)
against_options: tuple[Decorated, ...] = (
    click.option(
        "--against",
        type=click.Choice([str(choice) for choice in Against]),
        help="Whose scores the gate holds a candidate's against: the run's base's, the accepted ones of the baseline "
        "file, or the original base's and these  [default: base].",
    ),
)
alpha_option = click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict  [default: 0.05].",
)
engine_options: tuple[Decorated, ...] = (
    click.option("--engine", default="hf", show_default=True, help="What answers."),
    click.option(
        "--engine-option",
        "engine_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting of the engine's own. Repeatable.",
    ),
    click.option(
        "--ray-address",
        metavar="ADDRESS|auto",
        help="Of --engine ray: a running cluster; auto: this machine's  [default: Ray is started here].",
    ),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
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
        help="Whose generation config decodes: the base's for all, each model's own, nobody's (docs/checkpoints.md).",
    ),
    click.option(
        "--strict", is_flag=True, help="Every row alone, on one thread: the same bits whatever else is asked; slow."
    ),
    click.option(
        "--batch-size", default=16, show_default=True, type=click.IntRange(min=1), help="Most rows of a forward pass."
    ),
    click.option(
        "--batch-tokens",
        default=2048,
        show_default=True,
        type=click.IntRange(min=1),
        help="Most rows × length of a forward pass; larger ones pay on a GPU (docs/engine.md).",
    ),
)
chat_options: tuple[Decorated, ...] = (
    click.option(
        "--apply-chat-template",
        is_flag=False,
        flag_value="all",
        type=click.Choice(["all", "candidates"]),
        metavar="[=all|candidates]",
        help="Ask every model by its own chat template; candidates: only those, and the base plainly (docs/chat.md).",
    ),
    click.option("--system-instruction", metavar="TEXT", help="What the system says, before each task's description."),
    click.option(
        "--fewshot-as-multiturn/--no-fewshot-as-multiturn",
        default=None,
        help="Under a chat template: shots as turns of their own (the default), or together with the question in one.",
    ),
    click.option(
        "--chat-template-mismatch",
        type=click.Choice(["refuse", "allow"]),
        default="refuse",
        show_default=True,
        help="Where their templates give base and candidates different prompts: "
        "end with 5, or compare and flag every row.",
    ),
)
store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of answers [default: in the user's cache directory].",
)
noop_option = click.option(
    "--allow-noop", is_flag=True, help="Accept a copy of the base, and an adapter that changes nothing."
)
# of commands that compare stages of one training
stages_options: tuple[Decorated, ...] = (
    click.option(
        "--precision", type=click.Choice(["nf4", "fp4", "int8", "none"]), help="Of the base and adapters on it."
    ),
    noop_option,
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="A line for every block of requests.")
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def seed_option(drawn: str = "shots, --limit and resampling") -> Decorated:
    """`--seed`, which `drawn` hangs on."""
    return click.option("--seed", default=1234, type=click.IntRange(min=0), show_default=True, help=f"Of {drawn}.")


def evaluation_options(seed: Decorated) -> tuple[Decorated, ...]:
    """The options by which an experiment asks and judges, whatever it compares."""
    asked = (*task_options, *data_options, *example_options, *chat_options, seed)
    return (*asked, policy_option, margin_option, alpha_option, *engine_options, store_option)


def with_options(*options: Decorated) -> Callable[[Decorated], Decorated]:
    """A decorator that adds the options in the order given."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
