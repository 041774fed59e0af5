"""Read the rows of a data file (JSON lines, JSON, CSV, TSV, Parquet, Arrow), with errors that name file and line."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc, parquet

from evalharness.data.columns import check_renames
from evalharness.data.contents import (
    FORMS,
    check_regular,
    form_of,
    lines,
    most_unpacked,
    read_text,
    too_large,
    unreadable,
)
from evalharness.data.tables import are_numbers, table, typed_rows
from evalharness.errors import DataError, first_line
from evalharness.json_text import RepeatedKeyError, line_of_repeated, parse_json

DataRow = Mapping[str, Any]
"""A row of a data set: columns by name, with JSON values."""

WRAPPERS = ("data", "examples")  # a JSON file may hold {"data": [rows]}
EACH_ONCE = "each key once in an object would be right"
BATCH = 1024  # rows of a Parquet file decoded at once
DECODED = 64 << 20  # bytes of a row group decoded at once, if its rows can be split


def read_file(
    path: Path, field: str | None = None, texts: Collection[str] = (), renames: Mapping[str, str] | None = None
) -> list[DataRow]:
    """Read the rows of one file, by its suffix.

    `field` is the key of the rows in a JSON file. `texts` are columns whose cells stay texts in a CSV or TSV file.
    `renames` maps a column to its name in the file, or to its number in a CSV or TSV file without names.

    Raises DataError for a path that is no regular file, an unknown suffix, bytes that are no text, a line that cannot
    be parsed, a missing column, and a file without rows.
    """
    check_regular(path)
    form = form_of(path)
    if form not in READERS:
        raise DataError(path, f"has the suffix {path.suffix!r}, which is not known", f"known: {', '.join(FORMS)}")
    try:
        if form in (".csv", ".tsv"):
            return _checked(path, table_rows(path, texts, renames or {}))
        rows = _json(path, field) if form == ".json" else READERS[form](path)
    except OSError as error:
        raise unreadable(path, error) from None
    return _checked(path, rename_columns(path, rows, renames) if renames else rows)


def _checked(path: Path, rows: list[DataRow]) -> list[DataRow]:
    if not rows:
        raise DataError(path, "has no rows", "at least one row would be right")
    return rows


def table_rows(path: Path, texts: Collection[str] = (), renames: Mapping[str, str] | None = None) -> list[DataRow]:
    """Read the rows of a CSV or TSV file. Arguments and errors are those of `read_file`."""
    renames = renames or {}
    header, records = table(path, renames)
    stay = {renames.get(name, name) for name in texts} | set(texts)
    rows: list[DataRow] = list(typed_rows(header, records, stay))
    return rows if not renames or are_numbers(renames, header) else rename_columns(path, rows, renames)


def rename_columns(path: Path, rows: list[DataRow], renames: Mapping[str, str]) -> list[DataRow]:
    """Rename columns of rows.

    `renames` maps a new name to the name in the file; the renamed column replaces one that already has the new name.
    Raises DataError for a name that is in no row.
    """
    header = dict.fromkeys(key for row in rows for key in row)
    check_renames(renames, header, path)
    new = {old: new for new, old in renames.items()}
    return [
        {new.get(key, key): value for key, value in row.items() if key in new or key not in renames} for row in rows
    ]


def _jsonl(path: Path) -> list[DataRow]:
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path, finite: bool = True) -> Iterator[tuple[int, DataRow]]:
    """Yield (line, object) for the lines of a file of JSON lines, counted from 1; empty lines are skipped.

    `finite`: NaN and infinity are errors.
    """
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, finite, distinct=True)
        except RepeatedKeyError as error:
            raise DataError(f"{path}:{number}", str(error), EACH_ONCE) from None
        except ValueError as error:
            raise DataError(
                f"{path}:{number}", f"is not JSON: {first_line(error)}", "one object a line would be right"
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", f"holds {kind(row)}", "one object a line would be right")
        yield number, row


def json_value(path: Path, finite: bool = True, distinct: bool = False) -> Any:
    """Read the value in a JSON file.

    `finite` and `distinct` are those of `parse_json`. Raises DataError for a file that cannot be read, bytes that are
    no text, and text that is no JSON.
    """
    try:
        return parse_json(read_text(path), finite, distinct)
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise _not_json(path, error, "one JSON document would be right") from None


def _json(path: Path, field: str | None = None) -> list[DataRow]:
    text = read_text(path)
    if not text.strip():
        return []
    try:
        rows = parse_json(text, distinct=True)
    except RepeatedKeyError as error:
        raise DataError(f"{path}:{line_of_repeated(text)}", str(error), EACH_ONCE) from None
    except ValueError as error:
        if getattr(error, "msg", "") == "Extra data" and field is None:
            return _jsonl(path)  # JSON lines under the name .json, as `datasets` allows
        raise _not_json(path, error, "a list of objects would be right") from None
    keys = (field,) if field else WRAPPERS
    if isinstance(rows, dict):
        rows = next((rows[key] for key in keys if key in rows), rows)
    if isinstance(rows, dict) and len(rows) > 1 and all(map(_is_column, rows.values())):
        what = f"holds columns ({', '.join(map(str, rows))[:200]}), not rows"
        raise DataError(path, what, 'a list of objects would be right, as pandas writes it with orient="records"')
    if not isinstance(rows, list):
        raise DataError(
            path, f"holds {kind(rows)}", f"a list of objects, alone or under {' or '.join(keys)}, would be right"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(path, f"row {number} is {kind(row)}", "an object would be right")
    return rows


def _is_column(value: Any) -> bool:
    """Return whether a value could be a column: a list, or an object with numbers as keys, as pandas writes it."""
    if isinstance(value, dict):
        return bool(value) and all(map(str.isdecimal, value))
    return isinstance(value, list) and not any(isinstance(item, dict) for item in value)


def _not_json(path: Path, error: Exception, right: str) -> DataError:
    if isinstance(error, json.JSONDecodeError):
        return DataError(f"{path}:{error.lineno}", f"is not JSON: {error.msg}", right)
    return DataError(path, f"is not JSON: {first_line(error)}", right)


def parquet_rows(path: Path) -> list[DataRow]:
    """Read the rows of a Parquet file, as JSON values. Raises DataError for another file, and for one that unpacks to
    more than the limits.
    """
    return _plain_rows(parquet_batches(path))


def parquet_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file in batches of limited memory.

    Only `columns` are read, if they are stated; a field of an object is `column.field`. Raises DataError as
    `parquet_rows` does.
    """
    most, size = most_unpacked(path.stat().st_size), 0
    try:
        with parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)]
            at_once = max(1, min(BATCH, DECODED // max(1, *groups, 1)))
            for batch in file.iter_batches(batch_size=at_once, columns=columns, use_threads=False):
                size += _decoded(batch)
                if size > most:
                    raise too_large(path, most)
                yield batch
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(path, f"is not Parquet: {first_line(error)}", "a Parquet file would be right") from None


def _arrow_rows(path: Path) -> list[DataRow]:
    """Read the rows of an Arrow file, or of the stream that `datasets` saves."""
    try:
        with pa.memory_map(str(path)) as source:
            reader = ipc.open_file(source) if source.read(6) == b"ARROW1" else _stream(source)
            return _plain_rows(iter(reader.read_all().to_batches()))
    except (pa.ArrowException, ValueError) as error:
        raise DataError(path, f"is not Arrow: {first_line(error)}", "an Arrow file would be right") from None


def _stream(source: pa.NativeFile) -> Any:
    source.seek(0)
    return ipc.open_stream(source)


def _plain_rows(batches: Iterator[pa.RecordBatch]) -> list[DataRow]:
    return [{key: json_form(value) for key, value in row.items()} for batch in batches for row in batch.to_pylist()]


def _decoded(batch: pa.RecordBatch) -> int:
    """Return the number of bytes of a batch. Values that rows share count for each of the rows."""
    dictionaries = [pa.types.is_dictionary(column.type) for column in batch.columns]
    columns = [c.dictionary_decode() if coded else c for c, coded in zip(batch.columns, dictionaries, strict=True)]
    return sum(column.nbytes for column in columns)


def json_form(value: Any) -> Any:
    """Convert a value to JSON: missing numbers become None, times ISO texts, bytes hexadecimal."""
    if isinstance(value, dict):
        return {str(key): json_form(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_form(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def kind(value: Any) -> str:
    """Return the type of a JSON value, in words."""
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


READERS: dict[str, Callable[[Path], list[DataRow]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": table_rows,
    ".tsv": table_rows,
    ".parquet": parquet_rows,
    ".arrow": _arrow_rows,
}
