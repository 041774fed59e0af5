"""`evalharness gate`: a finished run to an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from evalharness.analysis.gate import Policy, judge
from evalharness.cli.options import debug_option
from evalharness.records.results import Results
from evalharness.report.escape import plain
from evalharness.results import read_results

OUTCOMES = {0: "passed", 3: "failed: forgotten", 4: "undecided", 5: "no verdict: incomplete or not comparable"}

policy_option = click.option(
    "--on-inconclusive",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    show_default=True,
    help="What an undecided suite means for the gate: exit code 4, or 0.",
)


@click.command("gate")
@click.argument("run", type=click.Path(path_type=Path))
@policy_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def gate_command(run: Path, on_inconclusive: str, as_json: bool, debug: bool) -> int:
    """May the candidates of RUN ship? 0 yes, 3 forgotten, 4 undecided, 5 incomplete.

    It passes when no gate unit is forgotten and the suite as a whole is shown to be retained.
    """
    return decide(read_results(run), on_inconclusive, as_json=as_json)


def decide(results: Results, on_inconclusive: str, quiet: bool = False, as_json: bool = False) -> int:
    """Judge, print why, and return the exit code."""
    decision = judge(results, Policy(on_inconclusive="fail" if on_inconclusive == "fail" else "pass"))
    if as_json:
        document = {
            "exit_code": decision.exit_code,
            "outcome": OUTCOMES[decision.exit_code],
            "reasons": list(decision.reasons),
        }
        click.echo(json.dumps(document, indent=1))
    elif not quiet:
        click.echo(f"\ngate {OUTCOMES[decision.exit_code]}")
        for reason in decision.reasons:
            click.echo(f"  {plain(reason)}")
    return decision.exit_code
