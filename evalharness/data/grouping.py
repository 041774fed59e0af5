"""Merge rows that belong together into one row, by the `reader:` of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from evalharness import registry
from evalharness.data import READERS
from evalharness.data.files import DataRow
from evalharness.data.sources import DataSplit
from evalharness.errors import DataError
from evalharness.records.tasks import Task

KEYS = {"references": "dialogue", "texts": "meaning_representation"}  # reader -> the column that its rows share


def group_rows(rows: DataSplit, task: Task) -> DataSplit:
    """Return the rows grouped by the task's reader, if it has one. The digest is that of the original rows.

    Raises DataError if rows lack a column that the reader needs, UsageError for an unknown reader.
    """
    reader = reader_of(task)
    if reader is None:
        return rows
    try:
        return replace(rows, rows=tuple(reader(rows.rows)))
    except KeyError as error:
        raise DataError(
            f"{task.name} from {rows.origin}",
            f"the reader {task.reader!r} needs the column {error.args[0]!r}",
            "rows that have it",
        ) from None


def reader_of(task: Task) -> Callable[[Sequence[DataRow]], list[DataRow]] | None:
    """Return the function that groups the task's rows; None if it names none. Raises UsageError for an unknown name."""
    return registry.find(READERS, task.reader, "reader") if task.reader else None


def references(rows: Sequence[DataRow]) -> list[DataRow]:
    """Merge the rows of each dialogue into one, with a list of its `summaries`, in the order of first appearance.

    DialogSum's test split has three summaries of each dialogue, in separate rows.
    """
    return _one_each(rows, KEYS["references"], "summary", "summaries")


def texts(rows: Sequence[DataRow]) -> list[DataRow]:
    """Merge the rows of each meaning representation into one, with a list of its `human_references`.

    E2E has several texts of most meaning representations, in separate rows. The order is that of first appearance.
    """
    return _one_each(rows, KEYS["texts"], "human_reference", "human_references")


def _one_each(rows: Sequence[DataRow], key: str, value: str, together: str) -> list[DataRow]:
    """Return the first row of each `key`, with a list of the `value` of all its rows."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row[key], {**row, together: []})[together].append(row[value])
    return list(first.values())
