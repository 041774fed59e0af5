"""Give a command's options the values that the repository's `evalharness.toml` or `pyproject.toml` states.

A table has a command's name ([run]) and its options' names as keys; [defaults] is for every command that has the
option. What is given on the command line stands over both, and over the other options that it excludes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os.path import relpath
from pathlib import Path
from typing import Any, NamedTuple

import click

from evalharness import cli, registry
from evalharness.configuration import COMMANDS, DEFAULTS, GATE, place, stated
from evalharness.errors import UsageError, did_you_mean

OF_THE_GATE = ("margin", "alpha", "on_inconclusive", "ceiling", "against", "policy")  # [gate] states these
OF_ONE_CALL = ("json", "debug", "help", "github", "junit", "markdown")
EXCLUDING = ({"suite", "task"}, {"base", "baseline"}, {"steps", "epochs"})  # of which one is given


class Default(NamedTuple):
    """The value of one option, as click takes it, what files call the option, and the file that states it."""

    value: Any
    key: str
    source: str


def defaults_of(command: click.Command, name: str, start: Path | None = None) -> dict[str, Default]:
    """What the files state of this command's options, by parameter. Raises UsageError for a key that is no option of
    the command (of no command, in [defaults]), and for a value that the option does not take.
    """
    if name not in COMMANDS:
        return {}
    options = {_key(each): each for each in command.params if isinstance(each, click.Option)}
    found: dict[str, Default] = {}
    for table in (DEFAULTS, name):
        for path, values in stated(table, start).items():
            for key, value in values.items():
                option = _option(key.replace("-", "_"), options, place(path, table, key), table)
                if option is not None:
                    read = _read(option, value, path.parent, place(path, table, key))
                    found[str(option.name)] = Default(read, _key(option), relpath(path))
    return found


def without_excluded(defaults: Mapping[str, Default], given: Iterable[click.Parameter]) -> dict[str, Default]:
    """Leave out what an option on the command line takes the place of."""
    named = {_key(each) for each in given}
    gone = set().union(*(group for group in EXCLUDING if group & named))
    return {name: default for name, default in defaults.items() if default.key not in gone}


def _key(parameter: click.Parameter) -> str:
    """How files call an option: as the command line does, without the dashes before it."""
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def _option(key: str, options: Mapping[str, click.Option], where: str, table: str) -> click.Option | None:
    """The option that a file means; None where another command's is meant."""
    if key in OF_THE_GATE:
        raise UsageError(where, "is the gate's", f"state it under [{GATE}]")
    if key in OF_ONE_CALL:
        raise UsageError(where, "is for one call", f"give --{key.replace('_', '-')} on the command line")
    if key not in options:
        known = _of_every_command() if table == DEFAULTS else set(options)
        if key in known:
            return None
        known -= {*OF_THE_GATE, *OF_ONE_CALL}
        raise UsageError(where, "there is no such option", did_you_mean(key, sorted(known)))
    return options[key]


def _of_every_command() -> set[str]:
    commands = (registry.find(cli.REGISTRY, name, "command") for name in COMMANDS)
    return {_key(each) for command in commands for each in command.params if isinstance(each, click.Option)}


def _read(option: click.Option, value: Any, folder: Path, where: str) -> Any:
    """The value as the command line would have it."""
    several = option.multiple
    if value is True and not option.is_flag and isinstance(option.flag_value, str):
        return option.flag_value  # of an option whose value may be left out
    each = value if several and isinstance(value, list) else [value]
    if any(type(one) not in ((bool,) if option.is_flag else (int, float, str)) for one in each):
        right = "true or false" if option.is_flag else "a list of texts" if several else "a text or a number"
        raise UsageError(where, f"{value!r} is no value of it", f"{right} would be right")
    texts = [_from_here(one, folder) if _is_path(option) else one for one in each]
    taken = tuple(texts) if several else texts[0]
    try:
        option.type_cast_value(click.Context(click.Command("")), taken)
    except click.BadParameter as error:
        raise UsageError(where, error.message.rstrip("."), f"--{_key(option)} says what would be right") from None
    return taken


def _is_path(option: click.Option) -> bool:
    return isinstance(option.type, click.Path) or "PATH" in (option.metavar or "")


def _from_here(value: Any, folder: Path) -> Any:
    """A path of the file's folder, as the working directory has it; what is not there, such as a hub id, stays."""
    if not isinstance(value, str):
        return value
    name, equals, path = value.rpartition("=")
    there = folder / Path(path).expanduser()
    exists = bool(path) and (there.exists() or any(folder.glob(path)) if "*" in path else there.exists())
    return f"{name}{equals}{relpath(there)}" if exists else value
