"""Print the output of commands: escaped, wrapped to the terminal, with verdicts in colour if it has colours."""

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

COLOURS = {  # of phrases that only our own lines hold
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
    """Print a text unwrapped, so that a path or a command in it can be copied. `err`: print it on stderr."""
    coloured = _wants_colours(err)
    for line in map(plain, str(text).split("\n")):
        click.echo(COLOURED.sub(_styled, line) if coloured else line, err=err, color=coloured)


def print_commands(lines: Iterable[str], err: bool = False) -> None:
    """Print commands for a CI runner, unescaped."""
    for line in lines:
        click.echo(line, err=err)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout. Lines wider than the terminal are wrapped between words."""
    width = terminal_width()
    for line in lines:
        print_line("\n".join(_wrapped(line, width)))


def print_json(text: str) -> None:
    """Print a JSON document on stdout. It is escaped if stdout lacks a character or a CI runner would read a command in
    it.
    """
    text = within_json(text.rstrip("\n"))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in text)
    click.echo(text)


def terminal_width() -> int | None:
    """Return the width of the terminal in columns; None if stdout is a file or a pipe."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if _is_terminal() else None


def _is_terminal(err: bool = False) -> bool:
    stream = sys.stderr if err else sys.stdout
    return stream is not None and stream.isatty()


def _wants_colours(err: bool) -> bool:
    return _is_terminal(err) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styled(match: re.Match[str]) -> str:
    return click.style(match[0], fg=COLOURS[match[0]])


def _wrapped(line: str, width: int | None) -> list[str]:
    """Wrap a line to `width` columns, with all but the first part indented. A word that is longer is not divided."""
    if width is None or len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    wrapper = textwrap.TextWrapper(width, indent, indent + "  ", break_on_hyphens=False, break_long_words=False)
    return wrapper.wrap(line.strip())
