"""`evalharness plan`: say what a comparison could decide, before any model has answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from evalharness.analysis.policy_file import policy_of
from evalharness.cli import progress
from evalharness.cli.command import Command
from evalharness.cli.option_texts import job_options
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
    task_options,
    with_options,
)
from evalharness.cli.printing import print_json, print_lines
from evalharness.errors import UsageError
from evalharness.experiments.forecast_text import document, lines
from evalharness.experiments.jobs import ForecastJob
from evalharness.experiments.power_forecast import forecast
from evalharness.notebook import PLAN
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.results.files import write_text
from evalharness.run.checks import check_output


@click.command("plan", cls=Command)
@with_options(*task_options, *data_options, *example_options)
@click.option(
    "--seed", default=1234, type=click.IntRange(min=0), show_default=True, help="Of shots, --limit and the draws."
)
@with_options(policy_option, margin_option, alpha_option)
@click.option("--power", default=0.8, show_default=True, help="With which probability a verdict should come out.")
@click.option(
    "--flips",
    default=0.1,
    show_default=True,
    help="Share of answers that is assumed to change, where no earlier run says.",
)
@click.option(
    "--skill",
    default=0.5,
    show_default=True,
    help="How far from chance to perfect the base is assumed to be, where no earlier run says.",
)
@click.option(
    "--from",
    "earlier",
    metavar="RUN[#NAME]",
    help="A finished run: how answers changed there, of this candidate or the most changed one.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="The model that will be the base: count tokens, and cut prompts to its window.",
)
@click.option(
    "--probe",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Take the time of N requests a task on --base [default: none].",
)
@with_options(*engine_options)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=f"Folder to leave {PLAN} in.")
@with_options(json_option, quiet_option, debug_option)
def plan_command(**given: Any) -> None:
    """Say, gate unit by gate unit, what a run could decide: the margin that can be certified, the drop that would be
    found, the examples that are needed, and how often the gate passes if nothing was forgotten.

    Nothing is answered but the --probe. How many answers change is assumed (--flips), or known from an earlier run
    (--from).
    """
    if given["out"] is not None:
        check_output(given["out"])
    forecast_job = ForecastJob(
        job=_job(given),
        power=given["power"],
        flips=given["flips"],
        skill=given["skill"],
        earlier=given["earlier"],
        probe=given["probe"],
    )
    with progress.listener(given["quiet"] or given["as_json"]) as listener:
        result = forecast(forecast_job, listener)
    if given["out"] is not None:
        write_text(given["out"] / PLAN, document(result))
    if given["as_json"]:
        print_json(document(result))
        return
    print_lines(lines(result))


def _job(given: Mapping[str, Any]) -> Job:
    policy = policy_of(given["policy_text"])
    if not (given["suite"] or given["tasks"] or policy.suite):
        raise UsageError("plan", "nothing to plan", "name a --suite or one or more --task")
    return make_job((), given["suite"], policy, **job_options(given))
