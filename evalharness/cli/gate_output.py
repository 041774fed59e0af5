"""Say where the gate's decision goes beside its lines: JUnit XML, Markdown, GitHub Actions."""

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
        "--junit", type=click.Path(path_type=Path), metavar="FILE", help="JUnit XML: a case for each gate unit."
    ),
    click.option(
        "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="A comment for a pull request, in Markdown."
    ),
    click.option(
        "--github/--no-github",
        default=None,
        help="Annotations and a summary of the step for GitHub Actions  [default: in its jobs].",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutput:
    """`github`: annotations and a summary of the step, None: in a job of GitHub Actions. Raises UsageError where a file
    cannot be written there.
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
        """The files to write, by the options that name them."""
        named = {"--junit": self.junit, "--markdown": self.markdown}
        return {option: path for option, path in named.items() if path is not None}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> GateOutput:
        """What `run` was given. Raises UsageError for a place without --gate, too."""
        places = {name: given[name] for name in PLACES}
        named = [f"--{name}" for name, value in places.items() if value]
        if named and not given["gate"]:
            raise UsageError(
                named[0], "is of the gate, which was not asked for", f"give --gate, or leave out {named[0]}"
            )
        return cls(**places)
