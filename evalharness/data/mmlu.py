"""Read MMLU as published (SPLIT/SUBJECT_SPLIT.csv: question, four answers, the right letter) into the hub's rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalharness.data.files import MARK, DataRow, not_csv, read_text
from evalharness.data.layout import PublishedLayout, below, named
from evalharness.errors import DataError

FIELDS = 6
ANSWERS = {**{letter: number for number, letter in enumerate("ABCD")}, **{str(number): number for number in range(4)}}
SPLITS = {"dev": ("dev",), "validation": ("val", "validation"), "test": ("test",), "train": ("train",)}
LETTERS = ["a", "b", "c", "d"]
ALL = "all"  # the hub's config of all subjects


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "mmlu", "data", "mmlu/data"):
        if any(_files(config, split, folder) for split in SPLITS):
            yield folder


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    names = SPLITS.get(split, (split,))
    for folder in (*(place / name for name in names), place):
        if config == ALL:
            files = sorted(path for name in names for path in folder.glob(f"*_{name}.csv"))
        else:
            files = named(folder, [f"{config}_{name}" for name in names], [".csv"])
        if files:
            return files
    return ()


def _recognises(config: str, path: Path) -> bool:
    """Rows as the hub has them hold the four answers in one column, `choices`."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline().removeprefix(MARK).decode(errors="replace")
    return "choices" not in [name.strip().strip('"').lower() for name in first.split(",")]


def _read(config: str, split: str | None, paths: Sequence[Path]) -> list[DataRow]:
    return [row for path in paths for row in _rows(path, config if config != ALL else path.stem.rpartition("_")[0])]


def _rows(path: Path, subject: str) -> Iterator[DataRow]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for number, cells in enumerate(reader):
            if cells and not (number == 0 and _is_header(cells)):
                yield _row(cells, subject, f"{path}:{reader.line_num}")
    except csv.Error as error:
        raise not_csv(path, reader.line_num, error) from None


def _is_header(cells: Sequence[str]) -> bool:
    """Files have none as published; "question,A,B,C,D,answer" on the first line is taken for one."""
    return [cell.strip().lower() for cell in cells[1:5]] == LETTERS and cells[-1].strip().upper() not in ANSWERS


def _row(cells: Sequence[str], subject: str, where: str) -> DataRow:
    if len(cells) != FIELDS:
        raise DataError(
            where,
            f"has {len(cells)} field{'s' if len(cells) != 1 else ''}",
            "question, four answers and the letter of the right one would be right",
        )
    question, *choices, letter = cells
    answer = ANSWERS.get(letter.strip().upper())
    if answer is None:
        raise DataError(where, f"the answer is {letter[:40]!r}", "A, B, C or D (or 0 to 3) would be right")
    return {"question": question, "subject": subject, "choices": choices, "answer": answer}


LAYOUT = PublishedLayout("MMLU (SPLIT/SUBJECT_SPLIT.csv)", _places, _files, _recognises, _read, ("choices",))
