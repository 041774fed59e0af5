"""A checkpoint as the user writes it, `[NAME=]PATH[#TASK]` or `[NAME=]HUB_ID[@REV]`, to its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from evalharness.errors import ModelError

TASK = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Named:
    """The name to show, a path or hub id, and which task's prompt is asked for of an adapter that learned several."""

    name: str | None
    place: str
    task: int | None = None


def exists(place: str | Path) -> bool:
    """Is there such a file or directory? False, too, for what no path can be."""
    try:
        return Path(place).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def is_path(place: str) -> bool:
    """A path, or a hub id? A hub id has one slash at most and does not exist here."""
    return place.startswith((".", "/", "~")) or place.count("/") > 1 or exists(place)


def parse(text: str) -> Named:
    """The parts. A path that exists wins over every reading of its `=` and `#`. Raises ModelError where nothing is
    named.
    """
    name, equals, place = text.partition("=")
    if not equals or "/" in name or exists(_without_task(text)[0]):
        name, place = "", text
    place, task = _without_task(place)
    if not place.strip() or (text.startswith("=") and place == text[1:]):
        raise ModelError(repr(text), "names no checkpoint", "write [NAME=]PATH or [NAME=]HUB_ID[@REV]")
    return Named(name.strip() or None, place, task)


def _without_task(place: str) -> tuple[str, int | None]:
    match = None if exists(place) else TASK.fullmatch(place)
    return (match[1], int(match[2])) if match else (place, None)


def default_name(named: Named, directory: Path) -> str:
    """What results call it: as given, else as its directory or repository is called, with the task where one is
    chosen.
    """
    own = directory.name or "root" if is_path(named.place) else named.place.partition("@")[0].rpartition("/")[2]
    return named.name or (own if named.task is None else f"{own}-task{named.task}")
