"""`evalharness engine`: check whether two engines give the same answers, and how far one's own answers vary."""

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
OF_ONE_ENGINE = ("--engine", "--engine-option")  # A and B each name their own
shared_options: tuple[Decorated, ...] = tuple(
    each for each in engine_options if option_names((each,)) not in OF_ONE_ENGINE
)


@click.group("engine", cls=CommandGroup)
def engine_command() -> None:
    """Check whether two engines give the same answers."""


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
    help="Largest difference of a log-probability that counts as equal  [default: 1e-4 with float32, .02 with float16, "
    ".15 with bfloat16].",
)
@click.option(
    "--same-texts",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Least share of texts that must be the same.",
)
@with_options(*task_options, *data_options, *example_options, *chat_options, seed_option("shots and --limit"))
@with_options(*shared_options, json_option, quiet_option, debug_option)
def check_command(first: str, second: str, **options: Any) -> int:
    """Send two engines, A and B, the same requests, then each the same again in another order. Both are ENGINE=MODEL:

        evalharness engine check hf=PATH openai=http://HOST/v1#MODEL

    Ends with 0 where their answers agree within the tolerance, else with 5. The same engine on both sides measures its
    own noise. Without --suite and --task, 8 examples of each task of the suite demo are used.
    """
    plan_options = job_options({**options, "margin_texts": (), "engine_options": ()})
    with progress.listener(options["quiet"] or options["as_json"]) as listener:
        check = engine_check(
            first,
            second,
            options["suite"],
            first_options=pairs("--a", options["first_texts"]),
            second_options=pairs("--b", options["second_texts"]),
            tolerance=options["tolerance"],
            same_texts=options["same_texts"],
            listener=listener,
            **{name: value for name, value in plan_options.items() if name in PLAN_OPTIONS},  # type: ignore[arg-type]
        )
    if options["as_json"]:
        print_json(document(check))
    else:
        print_lines((*headlines(check), ""))
        for table in tables(check):
            print_lines(terminal(table, terminal_width()))
        print_lines(sentences(check))
    return 0 if check.equal else NotComparableError.exit_code
