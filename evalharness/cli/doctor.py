"""`evalharness doctor`: check what this machine and this installation can do, and what is broken."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import click

from evalharness.cli.command import Command
from evalharness.cli.options import debug_option, json_option, with_options
from evalharness.cli.printing import print_json, print_lines
from evalharness.doctor import Condition, examine
from evalharness.errors import MissingPackageError

MARKS = {Condition.FINE: "✓", Condition.ABSENT: "–", Condition.BROKEN: "✗"}


@click.command("doctor", cls=Command)
@with_options(json_option, debug_option)
def doctor_command(as_json: bool, debug: bool) -> int:
    """Check versions, extras, devices, writable folders, memory, and whether the hub answers.

    Ends with 2 where something that is installed is broken (✗), else with 0. Beside what is absent (–) stands how to
    get it.
    """
    every = list(examine(os.environ))
    broken = any(each.condition == Condition.BROKEN for each in every)
    if as_json:
        code = MissingPackageError.exit_code if broken else 0
        print_json(json.dumps({"exit_code": code, "examinations": list(map(asdict, every))}, indent=1))
    else:
        print_lines(f"{MARKS[each.condition]} {each.name:8} {each.words}" for each in every)
    return MissingPackageError.exit_code if broken else 0
