"""`evalharness gate`: judge a finished run, and end with the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalharness.analysis.gate import GateOutcome, OnInconclusive, Policy, judge
from evalharness.cli.options import debug_option, json_option, with_options
from evalharness.records.results import Results
from evalharness.report.escape import plain
from evalharness.results import read_results

WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FORGOTTEN: "failed: forgotten",
    GateOutcome.UNDECIDED: "undecided",
    GateOutcome.INCOMPLETE: "no verdict: incomplete or not comparable",
}

policy_option = click.option(
    "--on-inconclusive",
    type=click.Choice([str(choice) for choice in OnInconclusive]),
    default=str(OnInconclusive.FAIL),
    show_default=True,
    help="What an undecided suite means for the gate: exit code 4, or 0.",
)


@click.command("gate")
@click.argument("run", type=click.Path(path_type=Path))
@policy_option
@with_options(json_option, debug_option)
def gate_command(run: Path, on_inconclusive: str, as_json: bool, debug: bool) -> int:
    """May the candidates of RUN ship? 0 yes, 3 forgotten, 4 undecided, 5 incomplete.

    It passes when no gate unit is forgotten and the suite as a whole is shown to be retained.
    """
    return decide(read_results(run), on_inconclusive, as_json=as_json)


def decide(results: Results, on_inconclusive: str, quiet: bool = False, as_json: bool = False) -> int:
    """Judge, print why, and return the exit code."""
    decision = judge(results, Policy(on_inconclusive=OnInconclusive(on_inconclusive)))
    code, words = decision.exit_code, WORDS[decision.exit_code]
    if as_json:
        click.echo(json.dumps({"exit_code": code, "outcome": words, "reasons": decision.reasons}, indent=1))
    elif not quiet:
        click.echo(f"\ngate {words}")
        for reason in decision.reasons:
            click.echo(f"  {plain(reason)}")
    return code
