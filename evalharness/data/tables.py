"""Read a table in text, as it lies around: commas, semicolons or tabs, with quotes as they are used in it, and with or
without a line of names.

Cells stay as they are written. A column becomes numbers, or True and False, only where writing these again gives every
cell back (2.50, 007, true and 1e3 stay texts).
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
SAMPLE = 20  # records by which the delimiter is told
WORDY = re.compile(r"[^\W\d].*\s")  # a text of several words
BOOLEANS = {"True": True, "False": False}
ONE_NAME = "one name per column would be right (--columns NAME=NUMBER where this line is no header)"
csv.field_size_limit(MOST_LINE)  # the module's own limit, 128 KiB, is shorter than a book chapter


def records(path: Path) -> list[Record]:
    """Every record of a file, a line of names among them; empty lines are passed over.

    Raises OSError, and DataError naming the line for one that cannot be split into cells.
    """
    if path.stat().st_size > MOST_LINE:
        next(lines(path), "")  # a line without an end is refused before the file is held as a whole
    text = read_text(path)
    if form_of(path) != ".csv":
        return _quoted_tabs(text) or list(_split(path, _lines(text), "\t", quoted=False))
    stated = SEPARATOR.match(text)
    text, skipped = text[stated.end() if stated else 0 :], int(bool(stated))
    delimiter = stated[1] if stated else delimiter_of(path, _lines(text))
    split = _split(path, _lines(text), delimiter)
    return [(number + skipped, cells) for number, cells in split]


def table(path: Path, renames: Mapping[str, str] | None = None) -> tuple[list[str], list[Record]]:
    """The names of the columns (none in an empty file; the first may be empty, as pandas writes an index), and what
    follows.

    `renames`: see `by_number`. Raises as `records` does, and DataError for names that are empty or repeated, and for a
    line of more or fewer cells.
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
    """The names of the columns where `renames` gives the numbers of some, counted from 1, in place of names; else None.
    Raises DataError for a number beyond them.
    """
    if not are_numbers(renames, first):
        return None
    names = {int(number): name for name, number in renames.items()}
    if beyond := [f"{name}={number}" for number, name in names.items() if not 0 < number <= len(first)]:
        what = f"has {len(first)} columns, and no {', '.join(beyond)}"
        raise DataError(path, what, "--columns NAME=NUMBER counts them from 1")
    return [names.get(number, f"column {number}") for number in range(1, len(first) + 1)]


def are_numbers(renames: Mapping[str, str], header: Sequence[str]) -> bool:
    """Tell whether columns are stated by their numbers, which are no names of theirs."""
    columns = set(renames.values())
    return bool(renames) and not columns <= set(header) and all(map(str.isdecimal, columns))


def check_no_header(path: Path, renames: Mapping[str, str], known: Collection[str]) -> None:
    """Raises DataError where columns are stated by numbers, and the first line holds their names: two that are `known`,
    or words only where the columns have longer texts below.
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
    if len(keys & ({*known, *renames})) > 1 or (longer and all(map(NAME.fullmatch, first))):
        stated = ",".join(f"{name}={_named(first, int(number))}" for name, number in renames.items())
        fix = f"--columns {stated} would be right, or a line with names above it where it is a row"
        raise DataError(
            f"{path}:1", f"names the columns ({', '.join(first)[:200]}), which count only without names", fix
        )


def _named(first: Sequence[str], number: int) -> str:
    return first[number - 1] if 0 < number <= len(first) else "NAME"


def check_names(where: str, header: Sequence[str]) -> None:
    """Raises DataError for a name that several columns have; empty ones aside."""
    if twice := [name for name in dict.fromkeys(header) if name.strip() and header.count(name) > 1]:
        raise DataError(where, f"the header names {', '.join(map(repr, twice))} more than once", ONE_NAME)


def check_width(where: str, cells: Sequence[str], header: Sequence[str]) -> None:
    """Raises DataError for a record that has not one cell for each name."""
    if len(cells) != len(header):
        raise DataError(
            where,
            f"has {len(cells)} field{'s' if len(cells) != 1 else ''}",
            f"the header names {len(header)} ({', '.join(header[:6])}{', …' if len(header) > 6 else ''})",
        )


def typed_rows(header: Sequence[str], lines: Sequence[Record], texts: Collection[str] = ()) -> list[dict[str, Any]]:
    """The records as rows; columns of numbers become numbers, except `texts`."""
    columns = [
        list(column) if name in texts else _typed(column)
        for name, column in zip(header, zip(*(cells for _, cells in lines), strict=True), strict=False)
    ]
    return [dict(zip(header, values, strict=True)) for values in zip(*columns, strict=True)]


def typed(cell: str) -> Any:
    """The number or boolean that is written exactly so; any other text as it is."""
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
    """A column as numbers, or as booleans, where every cell is one; an empty cell among them is None."""
    values = [typed(cell) for cell in column]
    filled = [type(value) for value in values if value != ""]
    if not filled or str in filled or (bool in filled and len(set(filled)) > 1):
        return list(column)
    return [None if isinstance(value, str) else value for value in values]


def delimiter_of(path: Path, lines: Iterable[str]) -> str:
    """What stands between cells: the first candidate that gives as many cells in each of the first records, and
    several.
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
    """The records of a tab-separated file in which quotes quote: as a CSV writer writes them, to the last byte. None
    where a quote is a plain character, as in GLUE's files.
    """
    if '"' not in text:
        return []
    try:
        found = list(_split(Path(), _lines(text), "\t"))
    except DataError:
        return []
    ending = "\r\n" if "\r\n" in text else "\n"  # where all lines end so, it is a newline by now
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        again = io.StringIO(newline="")
        csv.writer(again, delimiter="\t", quoting=quoting, lineterminator=ending).writerows(c for _, c in found)
        if again.getvalue().rstrip("\r\n") == text.rstrip("\r\n"):
            return found
    return []


def _lines(text: str) -> Iterator[str]:
    return (match[0] for match in LINE.finditer(text))


def not_csv(path: Path, line: int, error: csv.Error) -> DataError:
    """The error for a line that cannot be split into fields."""
    return DataError(
        f"{path}:{line}", f"cannot be read: {error}", "quotes that open must close, and be doubled inside a field"
    )
