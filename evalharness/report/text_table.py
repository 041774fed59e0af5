"""Make a plain table of texts, and write it for the terminal or in Markdown."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalharness.report.escape import plain

REMARKS = "remarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of texts. `note`: a sentence below it. `columns`: their titles. `numbers`: columns that are aligned to
    the right.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numbers(self) -> range:
        return range(1, len(self.columns) - (self.columns[-1:] == (REMARKS,)))


def from_rows(title: str, note: str, rows: Sequence[Mapping[str, str]]) -> TextTable:
    """Make a table of rows, each of which maps the same column titles, in the same order, to texts."""
    columns = tuple(rows[0]) if rows else ()
    return TextTable(title=title, note=note, columns=columns, rows=tuple(tuple(row.values()) for row in rows))


def markdown(table: TextTable) -> Iterator[str]:
    """Yield the lines of the table as Markdown."""
    yield from (f"### {table.title}", "", table.note, "")
    yield f"| {' | '.join(table.columns)} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"


def terminal(table: TextTable, width: int | None = None) -> Iterator[str]:
    """Yield the lines of the table for a terminal of `width` columns."""
    yield f"{table.title} ({plain(table.note)})"
    spare = range(len(table.columns) - 1, 2, -1)  # the last ones first
    yield from (f"  {line}" for line in aligned([table.columns, *table.rows], table.numbers, inner(width), spare))
    yield ""


def inner(width: int | None) -> int | None:
    """Return the width that is left within an indent of two columns."""
    return None if width is None else width - 2


def aligned(
    rows: Sequence[Sequence[str]], right: Container[int] = (), width: int | None = None, spare: Sequence[int] = ()
) -> Iterator[str]:
    """Align rows of equally many cells as lines of escaped text.

    `right`: columns that are aligned to the right. `width`: of the lines. `spare`: columns that may be left out, the
    first ones first, if lines would be wider. If more than one would have to go, the first cell gets its own line
    instead.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    below = [1, *widths[1:]]
    beside, columns = _fitting(widths, width, spare), _fitting(below, width, spare)
    alone = len(columns) > len(beside) + 1 or _total(widths, beside) > (width or math.inf)
    if not alone:
        below, columns = widths, beside
    for row in cells:
        if alone and row[0]:
            yield row[0]
        cells_shown = ((i, "" if alone and i == 0 else row[i]) for i in columns)
        line = "  ".join(
            cell.rjust(below[i]) if i in right else cell.ljust(below[i]) for i, cell in cells_shown
        ).rstrip()
        if line or not alone:
            yield line


def _fitting(widths: Sequence[int], width: int | None, spare: Sequence[int]) -> list[int]:
    """Return the columns that fit if as few of `spare` as possible are left out."""
    columns = list(range(len(widths)))
    for index in spare:
        if _total(widths, columns) > (width or math.inf):
            columns.remove(index)
    return columns


def _total(widths: Sequence[int], columns: Sequence[int]) -> int:
    """Return the width of a line of these columns, with two spaces between them."""
    return sum(widths[i] for i in columns) + 2 * (len(columns) - 1)
