"""Complete names of suites and tasks in the shell, without torch."""

from __future__ import annotations

from pathlib import Path

import click

from evalharness import registry
from evalharness.errors import EvalHarnessError

LIBRARY = {"library": "evalharness.tasks.library:Library"}  # which help does without


def suites(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the suites whose names begin with `incomplete`."""
    return _beginning(context, incomplete, ("suites",))


def tasks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks and groups whose names begin with `incomplete`."""
    return _beginning(context, incomplete, ("names", "groups"))


def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks, groups and suites whose names begin with `incomplete`."""
    return _beginning(context, incomplete, ("names", "groups", "suites"))


def _beginning(context: click.Context, incomplete: str, kinds: tuple[str, ...]) -> list[str]:
    """Return the library's names of these kinds that begin with `incomplete`; none if the library cannot be read, since
    a shell cannot show an error here.
    """
    try:
        library = registry.find(LIBRARY, "library", "piece")(tuple(map(Path, context.params.get("include") or ())))
        return sorted({name for kind in kinds for name in getattr(library, kind)() if name.startswith(incomplete)})
    except (EvalHarnessError, OSError):
        return []
