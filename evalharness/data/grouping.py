"""Put rows that belong together into one row each, as the `reader:` of a task says."""

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

KEYS = {"references": "dialogue", "texts": "meaning_representation"}  # of our readers: what its rows have in common


def grouped(rows: DataSplit, task: Task) -> DataSplit:
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
        raise DataError(
            f"{task.name} from {rows.origin}",
            f"the reader {task.reader!r} needs the column {error.args[0]!r}",
            "rows that have it",
        ) from None


def reader_of(task: Task) -> Callable[[Sequence[DataRow]], list[DataRow]] | None:
    """The function that groups the task's rows; None where it names none. Raises UsageError for an unknown name."""
    return registry.find(READERS, task.reader, "reader") if task.reader else None


def references(rows: Sequence[DataRow]) -> list[DataRow]:
    """One row for each dialogue, its summaries in a list `summaries`; in the order of first appearance.

    DialogSum's test split has three summaries of each dialogue, as rows of their own.
    """
    return _one_each(rows, KEYS["references"], "summary", "summaries")


def texts(rows: Sequence[DataRow]) -> list[DataRow]:
    """One row for each meaning representation, its texts in a list `human_references`; in the order of first
    appearance.

    E2E has several texts of nearly each of its meaning representations, as rows of their own.
    """
    return _one_each(rows, KEYS["texts"], "human_reference", "human_references")


def _one_each(rows: Sequence[DataRow], key: str, value: str, together: str) -> list[DataRow]:
    """One row for each `key`, the first that has it, with the list of all its rows' `value` beside."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row[key], {**row, together: []})[together].append(row[value])
    return list(first.values())
