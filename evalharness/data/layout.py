"""What the published layouts share: the form of a layout, folders found whatever their case, and one line of a file
with its checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.data.files import DataRow, kind
from evalharness.errors import DataError

SPLITS = {
    "train": ("train",),
    "validation": ("validation", "val", "dev", "valid"),
    "test": ("test",),
}  # the hub's name to names of files


@dataclass(frozen=True, slots=True)
class Layout:
    """How a benchmark is published. A `config` is the hub's dataset_name ("rte"), "" where a data set has none.

    `places`: the folders below a root that may hold the files of a config, nearest first (they need not exist).
    `files`: those of a split in such a folder, none where it has none. `claims`: is this file of the published form
    (rather than rows as the hub has them)? `read`: files to rows of the hub's schema; the split is None where one file
    was named for all splits.
    """

    name: str
    places: Callable[[str, Path], Iterator[Path]]
    files: Callable[[str, str, Path], Sequence[Path]]
    claims: Callable[[str, Path], bool]
    read: Callable[[str, str | None, Sequence[Path]], list[DataRow]]
    lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """An object of a file and where it stands; each reading raises DataError naming that place and the key."""

    path: Path
    where: str  # "17", "example 3"
    row: DataRow = field(repr=False)

    def error(self, what: str, fix: str) -> DataError:
        return DataError(f"{self.path}:{self.where}", what, fix)

    def get(self, key: str, wanted: str) -> Any:
        if key not in self.row:
            raise self.error(
                f"has no {key!r} (it has {', '.join(map(repr, list(self.row)[:8])) or 'nothing'})",
                f"{wanted} would be right",
            )
        return self.row[key]

    def text(self, key: str) -> str:
        value = self.get(key, "a text")
        if not isinstance(value, str):
            raise self.error(f"{key!r} is {kind(value)}", "a text would be right")
        return value

    def whole(self, key: str) -> int:
        value = self.get(key, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(
                f"{key!r} is {kind(value) if not isinstance(value, float) else value}", "a whole number would be right"
            )
        return value

    def inside(self, key: str) -> Line:
        """The object under a key."""
        value = self.get(key, "an object")
        if not isinstance(value, dict):
            raise self.error(f"{key!r} is {kind(value)}", "an object would be right")
        return Line(self.path, f"{self.where}, {key}", value)

    def each(self, key: str, least: int = 1) -> list[Line]:
        """The objects of the list under a key, at least so many."""
        value = self.get(key, "a list of objects")
        if not isinstance(value, list):
            raise self.error(f"{key!r} is {kind(value)}", "a list of objects would be right")
        if len(value) < least:
            raise self.error(f"{key!r} is empty", "a list of objects would be right")
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.error(f"{key}[{number}] is {kind(item)}", "an object would be right")
        return [Line(self.path, f"{self.where}, {key}[{number}]", item) for number, item in enumerate(value)]


def child(folder: Path, *names: str) -> Path:
    """The entry of a folder that goes by one of the names, case, dashes, dots and underscores aside; folder/name where
    there is none.

    The name as it stands wins. Raises DataError where two entries answer to the names.
    """
    for name in names:
        if (folder / name).exists():
            return folder / name
    wanted = {_key(name) for name in names}
    found = sorted(entry for entry in folder.iterdir() if _key(entry.name) in wanted) if folder.is_dir() else []
    if len(found) > 1:
        raise DataError(folder, f"holds {' and '.join(entry.name for entry in found)}", "keep one of them")
    return found[0] if found else folder / names[0]


def below(root: Path, *paths: str) -> Iterator[Path]:
    """root and what lies at the paths below it, whatever their case."""
    yield root
    for path in paths:
        place = root
        for part in path.split("/"):
            place = child(place, part)
        if place.is_dir():
            yield place


def named(folder: Path, stems: Sequence[str], suffixes: Sequence[str]) -> list[Path]:
    """The one file of a folder with one of the stems and one of the suffixes, case aside. Raises DataError where there
    are two.
    """
    wanted = {f"{stem}{suffix}".lower() for stem in stems for suffix in suffixes}
    found = sorted(entry for entry in folder.iterdir() if entry.name.lower() in wanted) if folder.is_dir() else []
    if len(found) > 1:
        raise DataError(folder, f"holds {' and '.join(entry.name for entry in found)}", "keep one file for each split")
    return found


def _key(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ .")
