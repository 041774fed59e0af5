"""Stream the texts of every row of a file or folder, whatever its columns, one row at a time and never kept.

For training data that is read once, to look for evaluated texts in it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from evalharness.data.files import MARK, decode, kind, not_csv, read_file, unreadable
from evalharness.errors import DataError, first_line
from evalharness.json_text import parse_json

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
        visible = (file for file in path.rglob("*") if not re.search(r"(^|/)\.", file.relative_to(path).as_posix()))
        files = sorted(file for file in visible if file.suffix.lower() in READERS and file.is_file())
        if not files:
            raise DataError(path, "holds no file of rows", known)
        return files
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
            row = parse_json(line, finite=False)
        except ValueError as error:
            raise DataError(
                f"{path}:{number}", f"is not JSON: {first_line(error)}", "one object a line would be right"
            ) from None
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
    width, first = 0, 1  # `first`: the line on which the row begins
    try:
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                raise DataError(
                    f"{path}:{reader.line_num}",
                    f"has {len(cells)} fields",
                    f"{width}, as the first line has, would be right",
                )
            yield TextRow(tuple(cell for cell in cells if cell), f"{path}:{first}")
            first = reader.line_num + 1
    except csv.Error as error:
        raise not_csv(path, reader.line_num, error) from None


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
            f"{path}, row {number}", f"is not Parquet: {first_line(error)}", "a Parquet file would be right"
        ) from None


def _text(path: Path) -> Iterator[TextRow]:
    """Line by line, and each line once more behind the end of those before it, as sentences run over line ends. Empty
    lines part texts.
    """
    before = ""
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        together = f"{before} {text}" if before and text else ""
        before = together or text
        if len(before) > TAIL:
            before = before[-TAIL:].partition(" ")[2]
        if text:
            yield TextRow((text, together) if together else (text,), f"{path}:{number}")


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
