"""Show a command's options in sections, and examples below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import click

from evalharness.cli.command import Command

LAST = "Output"  # the section of all other options


class SectionedCommand(Command):
    """A command that shows its options in sections. `sections`: for each title the options' names in one text ("--model
    --base"). `examples`: command lines that the help ends with.
    """

    sections: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[Sequence[str]] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option in its section, or in the last one if it is in none, then the examples."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        records = {each.opts[-1]: record for each in options if (record := each.get_help_record(ctx))}
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in names.split()])
        with formatter.section(LAST):
            formatter.write_dl(list(records.values()))
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self.examples))


def option_names(options: Sequence[Any]) -> str:
    """Return the names of the options that these decorators add, separated by spaces."""

    def bare() -> None: ...

    for option in options:
        option(bare)
    return " ".join(each.opts[-1] for each in bare.__click_params__)  # type: ignore[attr-defined]
