"""Read E2E as published (trainset.csv, devset.csv, testset_w_refs.csv, columns mr and ref) into the hub's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalharness.data.columns import Names
from evalharness.data.contents import SUFFIXES, form_of, lines
from evalharness.data.files import DataRow
from evalharness.data.layout import PublishedLayout, below, find_file, objects

COLUMNS: Names = {
    "meaning_representation": ("mr", "meaning", "source", "input"),
    "human_reference": ("ref", "reference", "target", "text"),
}
FILES = {"train": ("trainset",), "validation": ("devset",), "test": ("testset_w_refs",)}


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "e2e-dataset", "e2e_nlg", "e2e"):
        if any(_files(config, split, folder) for split in FILES):
            yield folder


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    return find_file(place, FILES.get(split, ()), list(SUFFIXES))


def _recognises(config: str, path: Path) -> bool:
    """Return whether a file names its columns mr and ref, as the authors' files do."""
    if form_of(path) != ".csv" or not path.is_file():
        return False
    return next(lines(path), "").replace('"', "").strip().lower() == "mr,ref"


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    return [
        {column: line.text(column) for column in COLUMNS}
        for path in paths
        for line in objects(path, COLUMNS, COLUMNS, renames, by_line=False)
    ]


LAYOUT = PublishedLayout(
    "E2E (trainset.csv, devset.csv, testset_w_refs.csv)",
    _places,
    _files,
    _recognises,
    _read,
    names=lambda config: COLUMNS,
)
