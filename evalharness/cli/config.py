"""`evalharness config`: show what the repository's files say of the gate, and which file says it."""

from __future__ import annotations

import json

import click

from evalharness.analysis.policy_file import policy_of
from evalharness.cli.command import CommandGroup
from evalharness.cli.options import debug_option, json_option, policy_options, with_options
from evalharness.cli.printing import print_json, print_line
from evalharness.report.policy_lines import document, lines


@click.group("config", cls=CommandGroup)
def config_command() -> None:
    """Show what the repository's files say of the gate, and which file says it."""


@config_command.command("show")
@with_options(policy_options[0])
@click.option("--origin", is_flag=True, help="Behind every value, the file that states it.")
@with_options(json_option, debug_option)
def show_command(policy_text: str | None, origin: bool, as_json: bool, debug: bool) -> None:
    """Print the policy that `run` and `gate` would judge by here, as evalharness.toml takes it.

    Options stand over evalharness.toml, that over the pyproject.toml beside it, and these over the defaults.
    Ends with 2 for a file that is wrong.
    """
    policy = policy_of(policy_text)
    if as_json:
        print_json(json.dumps({"gate": document(policy), "files": policy.files}, indent=1, ensure_ascii=False))
        return
    for line in lines(policy, origin):
        print_line(line)
