"""Define the options that name further outputs of the gate: JUnit XML, Markdown, GitHub Actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from evalharness.cli.options import Decorated
from evalharness.errors import UsageError

PLACES = ("junit", "markdown", "github")
gate_output_options: tuple[Decorated, ...] = (
    click.option(
        "--junit",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write JUnit XML with a case for each gate unit.",
    ),
    click.option(
        "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a pull request comment in Markdown."
    ),
    click.option(
        "--github/--no-github",
        default=None,
        help="Print annotations and write a step summary for GitHub Actions  [default: in its jobs].",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutput:
    """The places beside the terminal to which the gate's decision is written.

    `junit`, `markdown`: paths; None: not written. `github`: write annotations and a summary; None: if this is a job of
    GitHub Actions. Raises UsageError for a path at which no file can be written.
    """

    junit: Path | None = None
    markdown: Path | None = None
    github: bool | None = None

    def __post_init__(self) -> None:
        for option, path in self.files.items():
            if path.is_dir() or not path.absolute().parent.is_dir():
                raise UsageError(option, f"{path} is no place for a file", "a file in a folder that exists")

    @property
    def files(self) -> dict[str, Path]:
        """The files to write, by the names of their options."""
        paths = {"--junit": self.junit, "--markdown": self.markdown}
        return {option: path for option, path in paths.items() if path is not None}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> GateOutput:
        """Read the options of `run`. Raises UsageError, also for an output without --gate."""
        places = {name: options[name] for name in PLACES}
        names = [f"--{name}" for name, value in places.items() if value]
        if names and not options["gate"]:
            raise UsageError(
                names[0], "is an output of the gate, which does not run", f"give --gate, or leave out {names[0]}"
            )
        return cls(**places)
