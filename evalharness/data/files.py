"""Read the rows of a data file: JSON lines, JSON, CSV, TSV, Parquet. Errors name file and line."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from evalharness.errors import DataError, first_line
from evalharness.json_text import parse_json

DataRow = Mapping[str, Any]
"""A row of a data set: its columns by name, values as JSON has them."""

MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put before UTF-8 text
WRAPPERS = ("data", "examples")  # a JSON file may hold {"data": [rows]}
WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
csv.field_size_limit(1 << 30)  # the module's own limit, 128 KiB, is shorter than a book chapter


def read_file(path: Path, field: str | None = None) -> list[DataRow]:
    """The rows of one file, by its suffix. `field`: the key that holds the rows of a JSON file.

    Raises DataError for a path that is no regular file, a suffix that is not known, bytes that are not UTF-8, a line
    that cannot be parsed, and a file without rows.
    """
    check_regular(path)
    reader = SUFFIXES.get(path.suffix.lower())
    if reader is None:
        raise DataError(path, f"has the suffix {path.suffix!r}, which is not known", f"known: {', '.join(SUFFIXES)}")
    try:
        rows = _json(path, field) if reader is _json else reader(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not rows:
        raise DataError(path, "has no rows", "at least one row would be right")
    return rows


def check_regular(path: Path) -> None:
    """Raises DataError for a path that is no regular file: opening a pipe would wait for ever."""
    if not path.is_file():
        raise DataError(
            path,
            "is no regular file" if path.exists() else "does not exist",
            f"a file of rows would be right ({', '.join(SUFFIXES)})",
        )


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that the system cannot open or read."""
    return DataError(path, f"cannot be read ({error.strerror or error})", "a readable file would be right")


def _jsonl(path: Path) -> list[DataRow]:
    return [row for _, row in numbered(path)]


def numbered(path: Path) -> Iterator[tuple[int, DataRow]]:
    """(line, object) of a file of JSON lines, lines counted from 1; empty ones are passed over."""
    for number, line in enumerate(path.read_bytes().removeprefix(MARK).split(b"\n"), start=1):
        if not line.strip():
            continue
        text = decode(line, path, number - 1)
        try:
            row = parse_json(text)
        except ValueError as error:
            raise DataError(
                f"{path}:{number}", f"is not JSON: {first_line(error)}", "one object a line would be right"
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", f"holds {kind(row)}", "one object a line would be right")
        yield number, row


def json_value(path: Path) -> Any:
    """The value in a JSON file. Raises DataError for a file that cannot be read, bytes that are not UTF-8, and what is
    not JSON.
    """
    try:
        return parse_json(read_text(path))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise _not_json(path, error, "one JSON document would be right") from None


def _json(path: Path, field: str | None = None) -> list[DataRow]:
    text = read_text(path)
    if not text.strip():
        return []
    try:
        rows = parse_json(text)
    except ValueError as error:
        if getattr(error, "msg", "") == "Extra data" and field is None:
            return _jsonl(path)  # JSON lines under the name .json, as `datasets` allows
        raise _not_json(path, error, "a list of objects would be right") from None
    keys = (field,) if field else WRAPPERS
    if isinstance(rows, dict):
        rows = next((rows[key] for key in keys if key in rows), rows)
    if not isinstance(rows, list):
        raise DataError(
            path, f"holds {kind(rows)}", f"a list of objects, alone or under {' or '.join(keys)}, would be right"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(path, f"row {number} is {kind(row)}", "an object would be right")
    return rows


def _not_json(path: Path, error: Exception, right: str) -> DataError:
    if isinstance(error, json.JSONDecodeError):
        return DataError(f"{path}:{error.lineno}", f"is not JSON: {error.msg}", right)
    return DataError(path, f"is not JSON: {first_line(error)}", right)


def _csv(path: Path) -> list[DataRow]:
    return _typed_rows(*_table(path, csv.reader(_lines(path), strict=True)))


def _tsv(path: Path) -> list[DataRow]:
    """Tab-separated as GLUE publishes it: quotes are plain characters."""
    return _typed_rows(*_table(path, csv.reader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)))


def text_cells(path: Path, delimiter: str) -> list[tuple[int, dict[str, str]]]:
    """(line on which it ends, row) of a file with a header line; no cell is turned into a number. Raises DataError and
    OSError.
    """
    header, lines = _table(path, csv.reader(_lines(path), delimiter=delimiter, strict=True))
    return [(number, dict(zip(header, cells, strict=True))) for number, cells in lines]


def read_text(path: Path) -> str:
    """A file's text, without a byte order mark. Raises OSError, and DataError for bytes that are not UTF-8."""
    return decode(path.read_bytes().removeprefix(MARK), path)


def _lines(path: Path) -> Iterable[str]:
    return io.StringIO(read_text(path), newline="")


def _table(path: Path, reader: Any) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names in the header line (none in an empty file; the first may be empty, as pandas writes an index), and
    (line, cells) of what follows.
    """
    try:
        header = next(reader, None)
        if header is None:
            return [], []
        if len(set(header)) != len(header) or not all(name.strip() for name in header[1:]):
            raise DataError(
                f"{path}:1", f"the header has empty or repeated names: {header}", "one name per column would be right"
            )
        lines: list[tuple[int, list[str]]] = []
        for line in reader:
            if not line:
                continue
            if len(line) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}",
                    f"has {len(line)} fields",
                    f"the header names {len(header)} ({', '.join(header[:6])}{', …' if len(header) > 6 else ''})",
                )
            lines.append((reader.line_num, line))
    except csv.Error as error:
        raise not_csv(path, reader.line_num, error) from None
    return header, lines


def not_csv(path: Path, line: int, error: csv.Error) -> DataError:
    """The error for a line that cannot be split into fields."""
    return DataError(
        f"{path}:{line}", f"cannot be read: {error}", "quotes that open must close, and be doubled inside a field"
    )


def _typed_rows(header: list[str], lines: list[tuple[int, list[str]]]) -> list[DataRow]:
    """A column of numbers only becomes numbers, an empty cell among numbers None."""
    columns = [_typed(column) for column in zip(*(cells for _, cells in lines), strict=True)]
    return [dict(zip(header, values, strict=True)) for values in zip(*columns, strict=True)]


def _typed(column: tuple[str, ...]) -> list[Any]:
    """A column as whole numbers, numbers or booleans where every cell is one (07 is no number); else the texts as they
    stand.
    """
    filled = [cell for cell in column if cell]
    parsers: tuple[tuple[Callable[[str], object], Callable[[str], Any]], ...] = (
        (WHOLE.fullmatch, int),
        (REAL.fullmatch, float),
        (("True", "False", "true", "false").__contains__, lambda cell: cell in ("True", "true")),
    )
    for matches, parse in parsers:
        if filled and all(matches(cell) for cell in filled):
            return [parse(cell) if cell else None for cell in column]
    return list(column)


def parquet_rows(path: Path) -> list[DataRow]:
    """The rows of a Parquet file, as JSON could hold them. Raises DataError for what is no such file."""
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(path, f"is not Parquet: {first_line(error)}", "a Parquet file would be right") from None
    return [{key: plain(value) for key, value in row.items()} for row in table.to_pylist()]


def plain(value: Any) -> Any:
    """A value as JSON could hold it: missing numbers None, times ISO texts, bytes hexadecimal."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def decode(data: bytes, path: Path, lines_before: int = 0) -> str:
    """Bytes as UTF-8 text. Raises DataError naming the line."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = lines_before + 1 + data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}",
            f"holds bytes that are not UTF-8 ({data[error.start : error.start + 4].hex(' ')})",
            "save the file as UTF-8",
        ) from None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and the folders above it. Raises OSError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch.write_bytes(data)
    scratch.replace(path)


def kind(value: Any) -> str:
    """The type of a JSON value, in a word or two."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


SUFFIXES: dict[str, Callable[[Path], list[DataRow]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": parquet_rows,
}
