"""Define base classes of commands, with defaults from the repository's files and without mistakes that click accepts.

Refused are an option given twice, of which click would use the last value, and an empty value (of a shell variable that
is not set), which as a path would be the current folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from evalharness.cli.defaults import MAY_BE_EMPTY, Default, defaults_of, without_excluded
from evalharness.errors import UsageError


class Command(click.Command):
    """A command whose options take their defaults from the repository's files. It refuses empty values, and an option
    given twice unless it is repeatable.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, with the defaults of the repository's files. Raises UsageError for a repeated option, an
        empty value, and a wrong value in a file.
        """
        if not ctx.resilient_parsing:
            values, _, order = self.make_parser(ctx).parse_args(list(args))
            if not any(each.is_eager for each in order):  # --help
                _check_once(order)
                for parameter in order:
                    _check_not_empty(parameter, values.get(parameter.name or ""), ctx)
                ctx.default_map = {name: each.value for name, each in self.file_defaults(ctx, values, order).items()}
        return super().parse_args(ctx, args)

    def file_defaults(
        self, ctx: click.Context, values: Mapping[str, Any], order: Sequence[click.Parameter]
    ) -> dict[str, Default]:
        """Return the defaults that evalharness.toml and pyproject.toml state for this command's options, by parameter.

        `values`: the options on the command line, parsed; `order`: their parameters in the order in which they appear.
        Raises UsageError.
        """
        return without_excluded(defaults_of(self, ctx.command_path.partition(" ")[2]), order)


class CommandGroup(click.Group):
    """A group of commands, each of which is a `Command`."""

    command_class = Command


def _check_once(order: list[click.Parameter]) -> None:
    once = [each for each in order if isinstance(each, click.Option) and not (each.multiple or each.is_flag)]
    for option in once:
        if once.count(option) > 1:
            raise UsageError(option.opts[-1], "is given twice, and takes one value", "give it once")


def _check_not_empty(parameter: click.Parameter, value: object, ctx: click.Context) -> None:
    if parameter.name not in MAY_BE_EMPTY and "" in (value if isinstance(value, list | tuple) else [value]):
        where = parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx)
        raise UsageError(where, "is empty", "give a value, or leave it out (is a variable of the shell not set?)")
