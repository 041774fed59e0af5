"""`evalharness engine`: check whether two engines answer alike, and how far one is from itself."""

from __future__ import annotations

from typing import Any, get_type_hints

import click

from evalharness.cli import progress
from evalharness.cli.command import CommandGroup
from evalharness.cli.help import option_names
from evalharness.cli.option_texts import job_options, pairs
from evalharness.cli.options import (
    Decorated,
    chat_options,
    data_options,
    debug_option,
    engine_options,
    example_options,
    json_option,
    quiet_option,
    seed_option,
    task_options,
    with_options,
)
from evalharness.cli.printing import print_json, print_lines, terminal_width
from evalharness.errors import NotComparableError
from evalharness.records.job_options import PlanOptions
from evalharness.report.engine_check import document, headlines, sentences, tables
from evalharness.report.text_table import terminal
from evalharness.searches import engine_check

PLAN_OPTIONS = tuple(get_type_hints(PlanOptions))
NAMED = ("--engine", "--engine-option")  # said of each side by itself
shared_options: tuple[Decorated, ...] = tuple(each for each in engine_options if option_names((each,)) not in NAMED)


@click.group("engine", cls=CommandGroup)
def engine_command() -> None:
    """Look at engines: whether two of them answer alike."""


@engine_command.command("check")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--a", "first_texts", multiple=True, metavar="KEY=VALUE", help="A setting or option of A alone. Repeatable."
)
@click.option(
    "--b", "second_texts", multiple=True, metavar="KEY=VALUE", help="A setting or option of B alone. Repeatable."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="NATS",
    help="The largest difference of a log-probability that counts as equal [default: 1e-4 of float32, .02 of float16, "
    ".15 of bfloat16].",
)
@click.option(
    "--same-texts",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="The least share of texts that must be the same.",
)
@with_options(*task_options, *data_options, *example_options, *chat_options, seed_option("shots and --limit"))
@with_options(*shared_options, json_option, quiet_option, debug_option)
def check_command(first: str, second: str, **given: Any) -> int:
    """Ask two engines, A and B, the same, and each of them again and in another order. Both are ENGINE=MODEL:

        evalharness engine check hf=PATH openai=http://HOST/v1#MODEL

    Ends with 0 where they answer alike within the tolerance, else with 5. The same engine on both sides states its own
    noise. Asked are 8 examples of each task of the suite demo, where no suite and no task is named.
    """
    options = job_options({**given, "margin_texts": (), "engine_options": ()})
    with progress.listener(given["quiet"] or given["as_json"]) as listener:
        check = engine_check(
            first,
            second,
            given["suite"],
            first_options=pairs("--a", given["first_texts"]),
            second_options=pairs("--b", given["second_texts"]),
            tolerance=given["tolerance"],
            same_texts=given["same_texts"],
            listener=listener,
            **{name: value for name, value in options.items() if name in PLAN_OPTIONS},  # type: ignore[arg-type]
        )
    if given["as_json"]:
        print_json(document(check))
    else:
        print_lines((*headlines(check), ""))
        for table in tables(check):
            print_lines(terminal(table, terminal_width()))
        print_lines(sentences(check))
    return 0 if check.equal else NotComparableError.exit_code
