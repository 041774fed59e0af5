"""Read the defaults of a command's options from the repository's `evalharness.toml` or `pyproject.toml`.

A table is named after a command ([run]), and its keys are option names; [defaults] is for every command that has the
option. A value on the command line overrides both; it also drops the default of an option that it excludes.
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

OF_THE_GATE = ("margin", "alpha", "on_inconclusive", "ceiling", "against", "policy")  # belong into [gate]
OF_TRAINING = {"alpha": ("train", "sweep")}  # there the name is LoRA's option, not the gate's
MAY_BE_EMPTY = ("system_instruction",)
OF_ONE_CALL = ("json", "debug", "help", "github", "junit", "markdown", "config")
EXCLUDING = (  # options that exclude one another
    *({"suite", "task"}, {"base", "baseline"}, {"steps", "epochs"}, {"validation", "validation_file"}),
)


class Default(NamedTuple):
    """The default of one option, as a repository's file states it.

    `value`: parsed as click would parse it. `key`: the option's name in the file. `source`: the file's path, relative
    to the working directory.
    """

    value: Any
    key: str
    source: str


def defaults_of(command: click.Command, name: str, start: Path | None = None) -> dict[str, Default]:
    """Read the defaults of a command's options from evalharness.toml and pyproject.toml, by the name of click's
    parameter.

    Raises UsageError for a key that is no option of the command (in [defaults]: of any command), and for a value that
    the option does not take.
    """
    if name not in COMMANDS:
        return {}
    options = {_key(each): each for each in command.params if isinstance(each, click.Option)}
    defaults: dict[str, Default] = {}
    for table in (DEFAULTS, name):
        for path, values in stated(table, start).items():
            for key, value in values.items():
                option = _option(key.replace("-", "_"), options, place(path, table, key), table)
                if option is not None:
                    read = _read(option, value, path.parent, place(path, table, key))
                    defaults[str(option.name)] = Default(read, _key(option), relpath(path))
    return defaults


def read_values(
    command: click.Command, values: Mapping[str, Any], path: Path, other_names: Iterable[str] = ()
) -> dict[str, Default]:
    """Read the options in one file that the command line names, by the name of click's parameter. `other_names`: keys
    that the file may use instead of option names; they are suggested after a typing error. Raises UsageError as
    `defaults_of` does.
    """
    options = {_key(each): each for each in command.params if isinstance(each, click.Option)}
    defaults = dict[str, Default]()
    for key, value in values.items():
        where = f"{path}: {key}"
        if key in OF_ONE_CALL:
            raise UsageError(where, "is for one call", f"give --{key} on the command line")
        if key not in options:
            raise UsageError(
                where, "there is no such option", did_you_mean(key, {*options, *other_names} - {*OF_ONE_CALL})
            )
        option = options[key]
        defaults[str(option.name)] = Default(_read(option, value, path.parent, where), key, str(path))
    return defaults


def without_excluded(defaults: Mapping[str, Default], typed: Iterable[click.Parameter]) -> dict[str, Default]:
    """Return the defaults without those of options that an option on the command line excludes."""
    keys = {_key(each) for each in typed}
    excluded = set().union(*(group for group in EXCLUDING if group & keys))
    return {name: default for name, default in defaults.items() if default.key not in excluded}


def _key(parameter: click.Parameter) -> str:
    """Return an option's key in files: its name on the command line without the leading dashes."""
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def _option(key: str, options: Mapping[str, click.Option], where: str, table: str) -> click.Option | None:
    """Return the option that a key names; None if only other commands have it."""
    if key in OF_THE_GATE and table not in OF_TRAINING.get(key, ()):
        raise UsageError(where, "is the gate's", f"state it under [{GATE}]")
    if key in OF_ONE_CALL:
        raise UsageError(where, "is for one call", f"give --{key.replace('_', '-')} on the command line")
    if key not in options:
        names = _of_every_command() if table == DEFAULTS else set(options)
        if key in names:
            return None
        names -= {*OF_THE_GATE, *OF_ONE_CALL} - {name for name, tables in OF_TRAINING.items() if table in tables}
        raise UsageError(where, "there is no such option", did_you_mean(key, sorted(names)))
    return options[key]


def _of_every_command() -> set[str]:
    commands = (registry.find(cli.REGISTRY, name, "command") for name in COMMANDS)
    return {_key(each) for command in commands for each in command.params if isinstance(each, click.Option)}


def _read(option: click.Option, value: Any, folder: Path, where: str) -> Any:
    """Return the value as click would parse it from the command line. Raises UsageError."""
    several = option.multiple
    if value is True and not option.is_flag and isinstance(option.flag_value, str):
        return option.flag_value  # the option's value may be left out
    each = value if several and isinstance(value, list) else [value]
    kinds, right = _kinds(option)
    if not each or any(type(one) not in kinds for one in each):
        right += " or a list of them" * several
        raise UsageError(where, f"{value!r} is no value of it", f"{right} would be right")
    if "" in each and option.name not in MAY_BE_EMPTY:
        raise UsageError(where, "is empty", "give a value, or leave it out")
    texts = [_from_here(one, folder, option) for one in each]
    typed = tuple(texts) if several else texts[0]
    try:
        option.type_cast_value(click.Context(click.Command("")), typed)
    except (click.BadParameter, OverflowError, ValueError) as error:
        what = error.message.rstrip(".") if isinstance(error, click.BadParameter) else f"{value!r} is no value of it"
        raise UsageError(where, what, f"the help of {max(option.opts, key=len)} says what would be right") from None
    return typed


def _kinds(option: click.Option) -> tuple[tuple[type, ...], str]:
    """Return the Python types that an option accepts from a file, and their name in words."""
    if option.is_flag:
        return (bool,), "true or false"
    if isinstance(option.type, click.types.IntParamType):
        return (int,), "a whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return (int, float), "a number"
    if isinstance(option.type, click.types.StringParamType):
        return (str, int, float), "a text or a number"
    return (str,), "a text"


def _from_here(value: Any, folder: Path, option: click.Option) -> Any:
    """Turn a path relative to the file's folder into one relative to the working directory. A text that may be a name
    on the hub, and is no existing path, is returned unchanged.
    """
    if isinstance(option.type, click.Path):
        return value if Path(value).is_absolute() else relpath(folder / Path(value).expanduser())
    if not isinstance(value, str) or "PATH" not in (option.metavar or ""):
        return str(value) if isinstance(option.type, click.types.StringParamType) else value
    name, equals, path = value.rpartition("=")
    there = folder / Path(path).expanduser()
    places = (there, folder / Path(path.rpartition("#")[0] or path).expanduser())  # toxicity=PATH#CLASS
    exists = bool(path) and (any(each.exists() for each in places) or ("*" in path and any(folder.glob(path))))
    return f"{name}{equals}{relpath(there)}" if exists and not Path(path).is_absolute() else value
