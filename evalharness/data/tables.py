"""Read a CSV or TSV table: with commas, semicolons or tabs, with or without quotes and a line of names.

Cells stay as they are written. A column becomes numbers, or True and False, only if writing these gives every cell back
(2.50, 007, true and 1e3 stay texts).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evalharness.data.columns import NAME
from evalharness.data.contents import LINE, MOST_LINE, check_regular, form_of, lines, read_text, unreadable
from evalharness.errors import DataError

Record = tuple[int, list[str]]
"""(the line on which it ends, its cells)"""
DELIMITERS = (",", ";", "\t")
SEPARATOR = re.compile(r"sep=(.)(?:\r\n|\n|\r)", re.IGNORECASE)  # the first line, as Excel writes and reads it
SAMPLE = 20  # records that show the delimiter
WORDY = re.compile(r"[^\W\d].*\s")  # a text of several words
BOOLEANS = {"True": True, "False": False}
ONE_NAME = "one name per column would be right (--columns NAME=NUMBER where this line is no header)"
csv.field_size_limit(MOST_LINE)  # the module's own limit, 128 KiB, is shorter than a book chapter


def records(path: Path) -> list[Record]:
    """Return every record of a file, including a line of names; empty lines are skipped.

    Raises OSError, and DataError naming the line for one that cannot be split into cells.
    """
    if path.stat().st_size > MOST_LINE:
        next(lines(path), "")  # a line without an end is refused before the whole file is read
    text = read_text(path)
    if form_of(path) != ".csv":
        return _quoted_tabs(text) or list(_split(path, _lines(text), "\t", quoted=False))
    stated = SEPARATOR.match(text)
    text, skipped = text[stated.end() if stated else 0 :], int(bool(stated))
    delimiter = stated[1] if stated else delimiter_of(path, _lines(text))
    split = _split(path, _lines(text), delimiter)
    return [(number + skipped, cells) for number, cells in split]


def table(path: Path, renames: Mapping[str, str] | None = None) -> tuple[list[str], list[Record]]:
    """Return the names of the columns, and the records.

    An empty file has no names; the first name may be empty, as pandas writes an index. `renames` are those of
    `by_number`. Raises as `records` does, and DataError for empty or repeated names, and for a line of more or fewer
    cells.
    """
    lines = records(path)
    if not lines:
        return [], []
    header = by_number(path, lines[0][1], renames or {})
    if header is None:
        (line, header), *lines = lines
        check_names(f"{path}:{line}", header)
        if not all(name.strip() for name in header[1:]):
            raise DataError(f"{path}:{line}", f"the header has empty names: {header}", ONE_NAME)
    for number, cells in lines:
        check_width(f"{path}:{number}", cells, header)
    return header, lines


def by_number(path: Path, first: Sequence[str], renames: Mapping[str, str]) -> list[str] | None:
    """Return the names of the columns if `renames` has numbers of columns, counted from 1, and not names; else None.

    Raises DataError for a number beyond the columns.
    """
    if not are_numbers(renames, first):
        return None
    names = {int(number): name for name, number in renames.items()}
    if beyond := [f"{name}={number}" for number, name in names.items() if not 0 < number <= len(first)]:
        what = f"has {len(first)} columns, and no {', '.join(beyond)}"
        raise DataError(path, what, "--columns NAME=NUMBER counts them from 1")
    return [names.get(number, f"column {number}") for number in range(1, len(first) + 1)]


def are_numbers(renames: Mapping[str, str], header: Sequence[str]) -> bool:
    """Return whether `renames` gives all columns by number. A number that is a name in `header` is a name."""
    columns = set(renames.values())
    return bool(renames) and not columns <= set(header) and all(map(str.isdecimal, columns))


def check_no_header(path: Path, renames: Mapping[str, str], names: Collection[str]) -> None:
    """Raise DataError if columns are stated by numbers although the first line has names.

    It has names if two of its cells are in `names`, or if it has only words, above columns of longer texts.
    """
    check_regular(path)
    try:
        first, *rest = [cells for _, cells in records(path)[:SAMPLE]] or [[]]
    except OSError as error:
        raise unreadable(path, error) from None
    if not first or not are_numbers(renames, first):
        return
    keys = {cell.strip().lower() for cell in first if len(cell.strip()) > 1}
    below = [[cells[place] for cells in rest if len(cells) > place] for place in range(len(first))]
    longer = any(column and not any(map(NAME.fullmatch, column)) and any(map(WORDY.search, column)) for column in below)
    if len(keys & ({*names, *renames})) > 1 or (longer and all(map(NAME.fullmatch, first))):
        stated = ",".join(f"{name}={_name(first, int(number))}" for name, number in renames.items())
        fix = f"--columns {stated} would be right, or a line with names above it where it is a row"
        raise DataError(
            f"{path}:1", f"names the columns ({', '.join(first)[:200]}), which count only without names", fix
        )


def _name(first: Sequence[str], number: int) -> str:
    return first[number - 1] if 0 < number <= len(first) else "NAME"


def check_names(where: str, header: Sequence[str]) -> None:
    """Raise DataError if several columns have the same name. Empty names may repeat."""
    if twice := [name for name in dict.fromkeys(header) if name.strip() and header.count(name) > 1]:
        raise DataError(where, f"the header names {', '.join(map(repr, twice))} more than once", ONE_NAME)


def check_width(where: str, cells: Sequence[str], header: Sequence[str]) -> None:
    """Raise DataError for a record that does not have one cell for each name."""
    if len(cells) != len(header):
        raise DataError(
            where,
            f"has {len(cells)} field{'s' if len(cells) != 1 else ''}",
            f"the header names {len(header)} ({', '.join(header[:6])}{', …' if len(header) > 6 else ''})",
        )


def typed_rows(header: Sequence[str], lines: Sequence[Record], texts: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the records as rows; cells of columns of numbers become numbers, except in `texts`."""
    columns = [
        list(column) if name in texts else _typed(column)
        for name, column in zip(header, zip(*(cells for _, cells in lines), strict=True), strict=False)
    ]
    return [dict(zip(header, values, strict=True)) for values in zip(*columns, strict=True)]


def typed_value(cell: str) -> Any:
    """Return the number or boolean that is written exactly like the cell, else the cell."""
    if cell in BOOLEANS:
        return BOOLEANS[cell]
    if len(cell) > 25 or not cell[-1:].isdigit():
        return cell
    for parse in (int, float):
        try:
            value = parse(cell)
        except ValueError:
            continue
        if str(value) == cell and math.isfinite(value):
            return value
    return cell


def _typed(column: Sequence[str]) -> list[Any]:
    """Return a column as numbers, or as booleans, if every cell is one; empty cells among them become None."""
    values = [typed_value(cell) for cell in column]
    filled = [type(value) for value in values if value != ""]
    if not filled or str in filled or (bool in filled and len(set(filled)) > 1):
        return list(column)
    return [None if isinstance(value, str) else value for value in values]


def delimiter_of(path: Path, lines: Iterable[str]) -> str:
    """Return the delimiter of cells: the first candidate with the same number of cells, more than one, in each of the
    first records.
    """
    head = list(islice(lines, SAMPLE * 10))
    for delimiter in DELIMITERS:
        try:
            widths = {len(cells) for _, cells in islice(_split(path, head, delimiter), SAMPLE)}
        except DataError:
            continue
        if len(widths) == 1 and widths != {1}:
            return delimiter
    return DELIMITERS[0]


def _split(path: Path, lines: Iterable[str], delimiter: str, quoted: bool = True) -> Iterator[Record]:
    if quoted:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise not_csv(path, reader.line_num, error) from None


def _quoted_tabs(text: str) -> list[Record]:
    """Return the records of a tab-separated file with CSV quoting, if a CSV writer gives exactly the same file; [] if
    a quote is a plain character, as in GLUE's files.
    """
    if '"' not in text:
        return []
    try:
        rows = list(_split(Path(), _lines(text), "\t"))
    except DataError:
        return []
    ending = "\r\n" if "\r\n" in text else "\n"  # uniform line ends are newlines by now
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        again = io.StringIO(newline="")
        csv.writer(again, delimiter="\t", quoting=quoting, lineterminator=ending).writerows(c for _, c in rows)
        if again.getvalue().rstrip("\r\n") == text.rstrip("\r\n"):
            return rows
    return []


def _lines(text: str) -> Iterator[str]:
    return (match[0] for match in LINE.finditer(text))


def not_csv(path: Path, line: int, error: csv.Error) -> DataError:
    """Return the error for a line that cannot be split into fields."""
    return DataError(
        f"{path}:{line}", f"cannot be read: {error}", "quotes that open must close, and be doubled inside a field"
    )
