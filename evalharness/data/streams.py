"""Stream the texts of every row of a file or folder, of all columns, one row at a time.

It is for training data, which is searched once for evaluated texts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.data.contents import form_of, lines, unreadable
from evalharness.data.files import numbered_rows, parquet_batches, read_file
from evalharness.data.tables import delimiter_of, not_csv
from evalharness.errors import DataError

TAIL = 400  # characters of earlier lines that are joined with a line of running text


@dataclass(frozen=True, slots=True)
class TextRow:
    """All texts in one row, in their order, and the row's place ("FILE:LINE")."""

    texts: tuple[str, ...]
    place: str


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts inside a JSON value: columns, lists, the contents of chat messages."""
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
    """Yield the rows of a file, or of every file with a known suffix below a folder, by name.

    Only a .json file is read as a whole. Raises DataError naming file and line (Parquet: row) for content that cannot
    be read, and for a path without files.
    """
    for file in files_at(path):
        try:
            yield from READERS[form_of(file)](file)
        except OSError as error:
            raise unreadable(file, error) from None
        except RecursionError:
            raise DataError(file, "holds values that are nested too deeply", "texts and lists would be right") from None


def files_at(path: Path) -> list[Path]:
    """Return the files that `text_rows` reads. Raises DataError if there are none."""
    right = f"files of rows or texts would be right ({', '.join(READERS)})"
    if path.is_dir():
        visible = (file for file in path.rglob("*") if not re.search(r"(^|/)\.", file.relative_to(path).as_posix()))
        files = sorted(file for file in visible if form_of(file) in READERS and file.is_file())
        if not files:
            raise DataError(path, "holds no file of rows", right)
        return files
    if not path.is_file():
        raise DataError(path, "is no regular file" if path.exists() else "does not exist", right)
    if form_of(path) not in READERS:
        raise DataError(path, f"has the suffix {path.suffix!r}, which is not known", right)
    return [path]


def _jsonl(path: Path) -> Iterator[TextRow]:
    for number, row in numbered_rows(path, finite=False):
        yield TextRow(tuple(texts_in(row)), f"{path}:{number}")


def _json(path: Path) -> Iterator[TextRow]:
    for number, row in enumerate(read_file(path)):
        yield TextRow(tuple(texts_in(row)), f"{path}, row {number}")


def _csv(path: Path) -> Iterator[TextRow]:
    return _cells(path, csv.reader(lines(path), delimiter=delimiter_of(path, lines(path)), strict=True))


def _tsv(path: Path) -> Iterator[TextRow]:
    return _cells(path, csv.reader(lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))


def _cells(path: Path, reader: Any) -> Iterator[TextRow]:
    """Yield the cells of every line. A header counts as a row, because there may be none."""
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
    rows = (row for batch in parquet_batches(path) for row in batch.to_pylist())
    for number, row in enumerate(rows):
        yield TextRow(tuple(texts_in(row)), f"{path}, row {number}")


def _text(path: Path) -> Iterator[TextRow]:
    """Yield every line, alone and joined with the end of the lines before it, because sentences continue over line
    ends.

    Empty lines separate texts.
    """
    before = ""
    for number, line in enumerate(lines(path), start=1):
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
