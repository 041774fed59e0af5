"""Describe the layout of a published data set, find its folders and files in any case, and check its JSON values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.data.columns import Names, find_columns
from evalharness.data.files import DataRow, kind, numbered_rows, read_file
from evalharness.errors import DataError

SPLITS = {
    "train": ("train",),
    "validation": ("validation", "val", "dev", "valid", "devel"),
    "test": ("test",),
}  # the hub's name -> names of files


DEEPEST, WIDEST = 2, 500  # levels of folders below a data folder that are searched, and folders on each


@dataclass(frozen=True, slots=True)
class PublishedLayout:
    """How the authors of a benchmark publish it. A `config` is the hub's dataset_name ("rte"), or "" if a data set has
    none.

    `places` lists the folders below a root that may have the files of a config, nearest first (they need not exist).
    `files` lists the files of a split in such a folder. `recognises` says whether a file has the published form and
    not that of the hub's rows. `read` returns the rows of the files in the hub's schema; its split is None if one file
    is for all splits, and its last argument is the user's names of columns. `lists` are columns of lists. `names` are
    columns of texts and labels, with other names that they may have.
    """

    name: str
    places: Callable[[str, Path], Iterator[Path]]
    files: Callable[[str, str, Path], Sequence[Path]]
    recognises: Callable[[str, Path], bool]
    read: Callable[[str, str | None, Sequence[Path], Mapping[str, str]], list[DataRow]]
    lists: tuple[str, ...] = ()
    names: Callable[[str], Names] = lambda config: {}


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with its file and its place there.

    Every method raises DataError naming the place and the key.
    """

    path: Path
    where: str  # "17", "example 3"
    values: DataRow = field(repr=False)

    def error(self, what: str, fix: str) -> DataError:
        return DataError(f"{self.path}:{self.where}", what, fix)

    def get(self, key: str, right: str) -> Any:
        if key not in self.values:
            keys = ", ".join(map(repr, list(self.values)[:8])) or "nothing"
            raise self.error(f"has no {key!r} (it has {keys})", f"{right} would be right")
        return self.values[key]

    def text(self, key: str) -> str:
        return str(self._of_type(key, str, "a text"))

    def whole(self, key: str) -> int:
        return int(self._of_type(key, int, "a whole number"))

    def inside(self, key: str) -> JsonObject:
        """Return the object under a key."""
        return JsonObject(self.path, f"{self.where}, {key}", self._of_type(key, dict, "an object"))

    def each(self, key: str, least: int = 1) -> list[JsonObject]:
        """Return the objects in the list under a key; there must be at least `least`."""
        value = self._of_type(key, list, "a list of objects")
        if len(value) < least:
            raise self.error(f"{key!r} is empty", "a list of objects would be right")
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.error(f"{key}[{number}] is {kind(item)}", "an object would be right")
        return [JsonObject(self.path, f"{self.where}, {key}[{number}]", item) for number, item in enumerate(value)]

    def _of_type(self, key: str, kind_of_value: type, right: str) -> Any:
        value = self.get(key, right)
        if not isinstance(value, kind_of_value) or isinstance(value, bool):
            actual = value if isinstance(value, float) and kind_of_value is int else kind(value)
            raise self.error(f"{key!r} is {actual}", f"{right} would be right")
        return value


def objects(
    path: Path, names: Names, texts: Collection[str], renames: Mapping[str, str], by_line: bool
) -> list[JsonObject]:
    """Read the rows of a file, with the hub's names for the columns in `names`; columns in `texts` stay texts.

    `by_line`: the file has an object per line, so errors give the number of the line and not of the row. Raises as
    `read_file` and `find_columns` do.
    """
    if by_line:
        rows = [(str(number), row) for number, row in numbered_rows(path)]
    else:
        read = read_file(path, texts=texts, renames=renames)
        renames, rows = {}, [(f" row {number}", row) for number, row in enumerate(read)]
    header = dict.fromkeys(key for _, row in rows for key in row)
    places = find_columns(header, names, renames, path, names, [row for _, row in rows])
    new = {column: name for name, column in places.items()}
    return [JsonObject(path, where, {new.get(key, key): value for key, value in row.items()}) for where, row in rows]


def child(folder: Path, *names: str) -> Path:
    """Return the entry of a folder with one of the names, ignoring case, dashes, dots and underscores; folder/name if
    there is none.

    The exact name wins. Raises DataError if two entries fit.
    """
    for name in names:
        if (folder / name).exists():
            return folder / name
    keys = {folder_key(name) for name in names}
    alike = sorted(entry for entry in folder.iterdir() if folder_key(entry.name) in keys) if folder.is_dir() else []
    if len(alike) > 1:
        raise DataError(folder, f"holds {' and '.join(entry.name for entry in alike)}", "keep one of them")
    return alike[0] if alike else folder / names[0]


def below(root: Path, *paths: str) -> Iterator[Path]:
    """Return the root, then the existing folders at the paths below it, in any case."""
    yield root
    for path in paths:
        place = root
        for part in path.split("/"):
            place = child(place, part)
        if place.is_dir():
            yield place


def levels(root: Path) -> Iterator[list[Path]]:
    """Return the folder, then its subfolders, then theirs, without hidden ones; at most WIDEST on a level."""
    level = [root]
    for _ in range(DEEPEST):
        yield level
        level = [inside for folder in level for inside in _folders(folder)][:WIDEST]
    yield level


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    except OSError:  # an unreadable subfolder is no error
        return []


def find_file(folder: Path, stems: Sequence[str], suffixes: Sequence[str]) -> list[Path]:
    """Return the file of a folder with one of the stems and one of the suffixes, in any case, as a list; [] if there
    is none. Raises DataError if there are two.
    """
    names = {f"{stem}{suffix}".lower() for stem in stems for suffix in suffixes}
    files = sorted(entry for entry in folder.iterdir() if entry.name.lower() in names) if folder.is_dir() else []
    if len(files) > 1:
        raise DataError(folder, f"holds {' and '.join(entry.name for entry in files)}", "keep one file for each split")
    return files


def folder_key(name: str) -> str:
    """Return a name for comparisons: without case, dashes, dots and underscores."""
    return "".join(character for character in name.lower() if character not in "-_ .")
