"""A table of texts that the terminal, the page and the documentation share."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalharness.report.escape import plain

REMARKS = "remarks"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A title, what to know of it, column titles, and rows of as many texts; columns in `numbers` are set to the right,
    remarks are words.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numbers(self) -> range:
        return range(1, len(self.columns) - (self.columns[-1:] == (REMARKS,)))


def from_rows(title: str, note: str, rows: Sequence[Mapping[str, str]]) -> TextTable:
    """A table of rows that all map the same column titles, in the same order, to texts."""
    columns = tuple(rows[0]) if rows else ()
    return TextTable(title=title, note=note, columns=columns, rows=tuple(tuple(row.values()) for row in rows))


def markdown(table: TextTable) -> Iterator[str]:
    """The lines of the table as Markdown."""
    yield from (f"### {table.title}", "", table.note, "")
    yield f"| {' | '.join(table.columns)} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"


def terminal(table: TextTable) -> Iterator[str]:
    """The lines of the table as a terminal shows it."""
    yield f"{table.title} ({plain(table.note)})"
    yield from (f"  {line}" for line in aligned([table.columns, *table.rows], table.numbers))
    yield ""


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> Iterator[str]:
    """Rows of equally many cells as lines with columns as wide as their widest cell; those in `right` are set to the
    right. Cells are escaped.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        sides = zip(row, widths, strict=True)
        line = (cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(sides))
        yield "  ".join(line).rstrip()
