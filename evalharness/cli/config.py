"""`evalharness config`: show the gate's policy and the options that the repository's files state."""

from __future__ import annotations

import json

import click

from evalharness import cli, registry
from evalharness.analysis.policy_file import policy_of
from evalharness.cli.command import CommandGroup
from evalharness.cli.defaults import defaults_of
from evalharness.cli.options import debug_option, json_option, policy_option, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.configuration import COMMANDS
from evalharness.report.policy_lines import document, lines, toml_value


@click.group("config", cls=CommandGroup)
def config_command() -> None:
    """Show the gate's policy and the options that the repository's files state."""


@config_command.command("show")
@with_options(policy_option)
@click.option("--origin", is_flag=True, help="Add to every value the file that states it.")
@with_options(json_option, debug_option)
def show_command(policy_text: str | None, origin: bool, as_json: bool, debug: bool) -> None:
    """Print the policy that `run` and `gate` use here, and the options that files state, in the form of
    evalharness.toml.

    An option on the command line comes before evalharness.toml, that before the pyproject.toml beside it, and that
    before the built-in default. Ends with 2 where a file is wrong.
    """
    policy = policy_of(policy_text)
    commands = ((name, registry.find(cli.REGISTRY, name, "command")) for name in COMMANDS)
    options = {name: values for name, command in commands if (values := defaults_of(command, name).values())}
    if as_json:
        stated = {
            name: {each.key: {"value": each.value, "origin": each.source} for each in values}
            for name, values in options.items()
        }
        whole = {"gate": document(policy), "files": policy.files, "options": stated}
        print_json(json.dumps(whole, indent=1, ensure_ascii=False))
        return
    print_lines(lines(policy, origin))
    for name, values in options.items():
        print_line(f"\n[{name}]")
        for each in values:
            print_line(f"{each.key} = {toml_value(each.value)}" + (f"  # {each.source}" if origin else ""))
