"""Rows that belong together to one row each: what a task's `reader:` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from evalharness import registry
from evalharness.data import REGISTRY
from evalharness.data.files import Row
from evalharness.data.sources import Rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task


def grouped(rows: Rows, task: Task) -> Rows:
    """The rows as the task's reader groups them; as they are where it names none. The digest stays that of the rows as
    read.

    Raises DataError where rows lack a column that the reader needs, UsageError for an unknown reader.
    """
    reader = reader_of(task)
    if reader is None:
        return rows
    try:
        return replace(rows, rows=tuple(reader(rows.rows)))
    except KeyError as error:
        what = f"the reader {task.reader!r} needs the column {error.args[0]!r}"
        raise DataError(f"{task.name} from {rows.origin}", what, "rows that have it") from None


def reader_of(task: Task) -> Callable[[Sequence[Row]], list[Row]] | None:
    """What the task's rows are grouped by; None where it names nothing. Raises UsageError for an unknown name."""
    ways = {name: place for name, place in REGISTRY.items() if name != "hub"}
    return registry.find(ways, task.reader, "reader") if task.reader else None


def references(rows: Sequence[Row]) -> list[Row]:
    """Rows of one dialogue with a `summary` each to one row with `summaries`, a list; in the order of first appearance
    (DialogSum's test split).
    """
    found: dict[str, Row] = {}
    for row in rows:
        first = found.setdefault(row["dialogue"], {**row, "summaries": []})
        first["summaries"].append(row["summary"])
    return list(found.values())
