"""A file or folder of any rows to the texts of each row, one row at a time: for what is read once, past something else,
and never kept.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from evalharness.data.files import MARK, decode, kind, read_file, unreadable
from evalharness.errors import DataError

BATCH = 1024  # rows of a Parquet file held at once
TAIL = 400  # characters of the lines before that a line of running text is read together with


@dataclass(frozen=True, slots=True)
class TextRow:
    """Everything in one row that is text, in its order, and where it stands ("FILE:LINE")."""

    texts: tuple[str, ...]
    place: str


def texts_in(value: Any) -> Iterator[str]:
    """All texts within a value as JSON has them: columns, lists, the contents of chat messages."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)


def text_rows(path: Path) -> Iterator[TextRow]:
    """The rows of a file, or of every file with a known suffix below a folder, by name. Only a .json file is held in
    memory as a whole.

    Raises DataError naming file and line (Parquet: row) for what cannot be read, and for a path where there is nothing
    to read.
    """
    for file in files_at(path):
        try:
            yield from READERS[file.suffix.lower()](file)
        except OSError as error:
            raise unreadable(file, error) from None


def files_at(path: Path) -> list[Path]:
    """The files that `text_rows` reads. Raises DataError where there is none."""
    known = f"files of rows or texts would be right ({', '.join(READERS)})"
    if path.is_dir():
        below = (
            file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        found = sorted(file for file in below if file.suffix.lower() in READERS and file.is_file())
        if not found:
            raise DataError(path, "holds no file of rows", known)
        return found
    if not path.is_file():
        raise DataError(path, "is no regular file" if path.exists() else "does not exist", known)
    if path.suffix.lower() not in READERS:
        raise DataError(path, f"has the suffix {path.suffix!r}, which is not known", known)
    return [path]


def _lines(path: Path) -> Iterator[str]:
    """Lines with their ends, decoded one by one, so that an error can name its line."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            yield decode(line.removeprefix(MARK) if number == 0 else line, path, number)


def _jsonl(path: Path) -> Iterator[TextRow]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{path}:{number}", f"is not JSON: {said}", "one object a line would be right") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", f"holds {kind(row)}", "one object a line would be right")
        yield TextRow(tuple(texts_in(row)), f"{path}:{number}")


def _json(path: Path) -> Iterator[TextRow]:
    for number, row in enumerate(read_file(path)):
        yield TextRow(tuple(texts_in(row)), f"{path}, row {number}")


def _csv(path: Path) -> Iterator[TextRow]:
    return _cells(path, csv.reader(_lines(path), strict=True))


def _tsv(path: Path) -> Iterator[TextRow]:
    return _cells(path, csv.reader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))


def _cells(path: Path, reader: Any) -> Iterator[TextRow]:
    """Every line's cells; a header is a row like any other, since there may be none."""
    width = 0
    begun = 1
    try:
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                raise DataError(
                    f"{path}:{reader.line_num}",
                    f"has {len(cells)} fields",
                    f"{width}, as the first line has, would be right",
                )
            yield TextRow(tuple(cell for cell in cells if cell), f"{path}:{begun}")
            begun = reader.line_num + 1
    except csv.Error as error:
        fix = "quotes that open must close, and be doubled inside a field"
        raise DataError(f"{path}:{reader.line_num}", f"cannot be read: {error}", fix) from None


def _parquet(path: Path) -> Iterator[TextRow]:
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    yield TextRow(tuple(texts_in(row)), f"{path}, row {number}")
                    number += 1
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{path}, row {number}", f"is not Parquet: {str(error).splitlines()[0]}", "a Parquet file would be right"
        ) from None


def _text(path: Path) -> Iterator[TextRow]:
    """Line by line, and each line once more behind the end of those before it: sentences run over line ends. An empty
    line parts texts.
    """
    before = ""
    for number, line in enumerate(_lines(path), start=1):
        said = line.strip()
        together = f"{before} {said}" if before and said else ""
        before = (together or said)[-TAIL:].partition(" ")[2] if len(together or said) > TAIL else together or said
        if said:
            yield TextRow((said, together) if together else (said,), f"{path}:{number}")


READERS: dict[str, Callable[[Path], Iterator[TextRow]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".txt": _text,
    ".text": _text,
    ".md": _text,
}
