"""Find and read a data set of questions that is published as one file per split, with labels in it or beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness.data.columns import Names, find_columns
from evalharness.data.contents import SUFFIXES, check_regular, form_of, lines, stem_of
from evalharness.data.files import DataRow
from evalharness.data.layout import SPLITS, JsonObject, PublishedLayout, below, child, find_file, folder_key, objects
from evalharness.errors import DataError

NAMES = {**SPLITS, "test": ("test", "tests")}
GENERIC = {name for names in NAMES.values() for name in names}  # names of files of many data sets
NONE = ("", -1, "-1", None)  # labels of rows without a label
LINES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """How one data set of questions is published.

    `folders` are below a data folder, and begin with the set's own folder. `stems` are the names of the files of a
    config's split. `names` are its columns, with other names that they may have. `label` is the column that a file may
    lack; "" if there is none. `nested` are columns that may be inside another. `row` makes the hub's row.
    """

    title: str
    folders: tuple[str, ...]
    stems: Callable[[str, str], Sequence[str]]
    names: Names
    row: Callable[[JsonObject], DataRow]
    label: str = ""
    nested: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = SUFFIXES

    def layout(self) -> PublishedLayout:
        return PublishedLayout(
            self.title,
            self._places,
            self._files,
            lambda config, path: True,
            self._read,
            self.lists,
            lambda config: self.names,
        )

    def _places(self, config: str, root: Path) -> Iterator[Path]:
        """Return the data set's own folders, which may include the root.

        A root counts under another name only if the names of its files identify the data set.
        """
        parts = [name.partition("/") for name in self.folders]
        own = folder_key(root.name) in {folder_key(first) for first, _, _ in parts}
        inside = [child(root, rest) for first, _, rest in parts if own and rest]
        stems = {stem for split in SPLITS for stem in self.stems(config, split)}
        for folder in (*below(root, *self.folders), *inside):
            if _has(folder, stems if own or folder != root else stems - GENERIC, self.suffixes):
                yield folder

    def _files(self, config: str, split: str, place: Path) -> Sequence[Path]:
        """Return the files of a split, JSON lines first: ARC's CSV files have the choices inside the question."""
        stems = self.stems(config, split)
        return find_file(place, stems, LINES) or find_file(place, stems, self.suffixes)

    def _read(self, config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
        return [self.row(line) for path in paths for line in self._lines(path, renames)]

    def _lines(self, path: Path, renames: Mapping[str, str]) -> list[JsonObject]:
        """Return the rows of a file with the hub's names of columns; rows without a label do not have its column."""
        if form_of(path) == ".txt":
            texts = ((number, line.rstrip("\r\n")) for number, line in enumerate(lines(path), start=1))
            return [JsonObject(path, str(number), {"text": text}) for number, text in texts if text.strip()]
        rows = [self._unlabelled(row) for row in objects(path, self.names, (*self.names,), renames, _by_line(path))]
        header = dict.fromkeys(key for row in rows for key in row.values)
        find_columns(header, self.names, {}, path, (self.label, *self.nested))
        labels = path.with_name(f"{stem_of(path)}-labels.lst")
        if self.label and self.label not in header and labels.exists():
            return _labelled(rows, self.label, path, labels)
        if without := [row for row in rows if self.label in header and self.label not in row.values]:
            raise without[0].error(f"has no {self.label}, and other rows have one", "one in every row, or in none")
        return rows

    def _unlabelled(self, row: JsonObject) -> JsonObject:
        if self.label not in row.values or row.values[self.label] not in NONE:
            return row
        return replace(row, values={key: value for key, value in row.values.items() if key != self.label})


def _by_line(path: Path) -> bool:
    return form_of(path) == ".jsonl"


def _has(folder: Path, stems: Collection[str], suffixes: Collection[str]) -> bool:
    """Return whether a folder has a file with one of the stems and one of the suffixes, in any case."""
    names = {f"{stem}{suffix}".lower() for stem in stems for suffix in suffixes}
    return folder.is_dir() and any(entry.name.lower() in names for entry in folder.iterdir())


def _labelled(rows: Sequence[JsonObject], label: str, path: Path, labels: Path) -> list[JsonObject]:
    """Return the rows with the labels of the file beside theirs, one per line."""
    check_regular(labels)
    stated = [line.strip() for line in lines(labels) if line.strip()]
    if len(stated) != len(rows):
        what = f"has {len(stated)} labels, and {path.name} beside it {len(rows)} rows"
        raise DataError(labels, what, "one label a line, one for each row, would be right")
    return [replace(row, values={**row.values, label: value}) for row, value in zip(rows, stated, strict=True)]
