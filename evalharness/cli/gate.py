"""`evalharness gate`: decide whether the candidates of a finished run may ship, and end with the exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from evalharness.analysis.baseline_file import FILE
from evalharness.analysis.baseline_gate import check_used, decide
from evalharness.analysis.judging import judged_by
from evalharness.analysis.policy_file import policy_of
from evalharness.cli.command import Command
from evalharness.cli.gate_output import PLACES, GateOutput, gate_output_options
from evalharness.cli.gate_places import check_places
from evalharness.cli.option_texts import ceilings, margins
from evalharness.cli.options import (
    against_options,
    debug_option,
    json_option,
    margin_option,
    policy_options,
    with_options,
)
from evalharness.cli.printing import print_commands, print_json, print_line
from evalharness.errors import StoreError, UsageError
from evalharness.records.policy import OPTION, Policy
from evalharness.records.results import Results
from evalharness.report import gate_files, github
from evalharness.report.gate_lines import GateText
from evalharness.whole_file import write_whole


@click.command("gate", cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--candidate", "only", multiple=True, metavar="NAME", help="Judge only this candidate. Repeatable.")
@with_options(*policy_options, margin_option)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict  [default: the run's].",
)
@with_options(*against_options)
@click.option("--baseline", metavar="FILE", help=f"The baseline file  [default: the policy's, else {FILE}].")
@click.option("--explain", is_flag=True, help="Add the rule that led to each exit code.")
@with_options(*gate_output_options, json_option, debug_option)
def gate_command(run: Path, only: tuple[str, ...], explain: bool, as_json: bool, debug: bool, **options: Any) -> int:
    """Decide whether the candidates of RUN may ship: 0 yes, 3 forgotten, 4 undecided, 5 incomplete or nothing measured.

    A candidate passes when no gate unit is forgotten or suspect, the suite as a whole is retained, and no loss above a
    --ceiling remains possible. A --ceiling without a task holds for scores from 0 to 1; every other gate unit (MCC,
    BLEU) then needs its own. The repository's policy is read from evalharness.toml or pyproject.toml (docs/gate.md).
    """
    policy, output = _policy(options), GateOutput(**{name: options[name] for name in PLACES})
    check_places(output, run, policy)
    results, notice = judged_by(run, policy)
    text = GateText(decide(run, results, policy, only), results, policy, notice)
    if as_json:
        print_json(json.dumps(gate_files.document(text), indent=1))
    else:
        _print(text, explain)
    _write(text, output, aside=as_json)
    return text.decision.exit_code


def _policy(options: Mapping[str, Any]) -> Policy:
    """Read the policy of the repository, or of the named file, and override its values by the options. Raises
    UsageError.
    """
    margin, named_margins = margins(options["margin_texts"])
    ceiling, named_ceilings = ceilings(options["ceiling_texts"])
    of_options = {
        "alpha": options["alpha"],
        "margin": margin,
        "margins": named_margins,
        "ceiling": ceiling,
        "ceilings": named_ceilings,
        **{name: options[name] for name in ("on_inconclusive", "against", "baseline")},
    }
    policy = policy_of(options["policy_text"]).with_values(of_options, OPTION)
    check_used(policy)
    return policy


def after_run(run: Path, results: Results, policy: Policy, output: GateOutput, document: str) -> int:
    """Judge the run that has just ended, print the decision, and return the exit code.

    `document`: the text of its results.json, which is printed with the decision added under `gate`; "": print the
    decision only.
    """
    text, aside = GateText(decide(run, results, policy), results, policy), bool(document)
    if document:
        whole = {**json.loads(document), "gate": gate_files.document(text)}
        print_json(json.dumps(whole, indent=1, ensure_ascii=False))
    _print(text, aside=aside)
    _write(text, output, aside)
    return text.decision.exit_code


def _print(text: GateText, explain: bool = False, aside: bool = False) -> None:
    """Print the decision, on stderr if `aside`, since stdout then holds JSON."""
    for line in text.lines(explain):
        print_line(line, err=aside)


def _write(text: GateText, output: GateOutput, aside: bool) -> None:
    """Write the decision to its files and to the CI runner. Raises UsageError for a file that cannot be written."""
    _write_file("--junit", output.junit, lambda: gate_files.junit(text.decision))
    _write_file("--markdown", output.markdown, lambda: gate_files.markdown(text))
    if github.is_runner(os.environ) if output.github is None else output.github:
        print_commands(github.commands(text), err=aside)
        try:
            github.write_summary(gate_files.markdown(text), os.environ)
        except StoreError as error:  # a variable of the environment does not change the decision
            print_line(f"warning: {error}", err=True)


def _write_file(option: str, path: Path | None, text: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        write_whole(path, text().encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(
            option, f"{path} cannot be written ({error.strerror})", "a place that can be written"
        ) from error
