"""Print what commands say: escaped, as wide as the terminal, with verdicts in colour where colours are wanted."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable

import click

from evalharness.report.escape import plain, within_json

COLOURS = {  # of words that stand at their place in a line that we wrote
    "▼ forgotten": "red",
    "● retained": "green",
    "? inconclusive": "yellow",
    "gate failed": "red",
    "gate passed": "green",
    "gate undecided": "yellow",
    "gate no verdict": "yellow",
    "Error:": "red",
}
COLOURED = re.compile("|".join(map(re.escape, COLOURS)))
NARROWEST = 20


def print_line(text: object, err: bool = False) -> None:
    """Print a text, on stderr with `err`. A path or a command in it stays in one piece."""
    coloured = _wants_colours(err)
    for line in map(plain, str(text).split("\n")):
        click.echo(COLOURED.sub(_styled, line) if coloured else line, err=err, color=coloured)


def print_commands(lines: Iterable[str], err: bool = False) -> None:
    """Print lines that a CI runner is to obey, as they are."""
    for line in lines:
        click.echo(line, err=err)


def print_lines(lines: Iterable[str]) -> None:
    """Print texts on stdout, one a line; what is wider than the terminal is wrapped between words."""
    width = terminal_width()
    for line in lines:
        print_line("\n".join(_wrapped(line, width)))


def print_json(text: str) -> None:
    """Print a JSON document on stdout, in characters that stdout has and without what a CI runner obeys."""
    text = within_json(text.rstrip("\n"))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    click.echo(text)


def terminal_width() -> int | None:
    """How many columns of stdout a line may have on a terminal; None for a file or a pipe, which has no width."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if _is_terminal() else None


def _is_terminal(err: bool = False) -> bool:
    stream = sys.stderr if err else sys.stdout
    return stream is not None and stream.isatty()


def _wants_colours(err: bool) -> bool:
    return _is_terminal(err) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styled(match: re.Match[str]) -> str:
    return click.style(match[0], fg=COLOURS[match[0]])


def _wrapped(line: str, width: int | None) -> list[str]:
    """The line in parts of at most `width` columns but for longer words, the later parts set in below the first."""
    if width is None or len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    wrapper = textwrap.TextWrapper(width, indent, indent + "  ", break_on_hyphens=False, break_long_words=False)
    return wrapper.wrap(line.strip())
