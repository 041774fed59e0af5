"""Find a task's columns in a file: by the names that the user states, by their own, or by common other names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import DataError, UsageError, did_you_mean
from evalharness.records.tasks import Task

Names = Mapping[str, tuple[str, ...]]
"""A column's name in the hub's schema -> other names of it, in lower case; the first present one counts"""
OPTION = "--columns"
PLACE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)  # part of a template that may name columns
NAME = re.compile(r"\s*[^\W\d][\w#-]*( [\w#-]+)?\s*")  # of a column, and no sentence
LISTED = 20  # names in a message


def columns_there(header: Collection[str]) -> str:
    """List the columns of a file, for a message."""
    names = [repr(name) if not name.strip() or "," in name else name[:60] for name in header]
    return f"columns there: {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''}"


def check_renames(renames: Mapping[str, str], header: Collection[str], where: Path | str) -> None:
    """Raise DataError if the user states a name that no column of a file has."""
    if absent := [f"{name}={column}" for name, column in renames.items() if column not in header]:
        raise DataError(where, f"{OPTION} {','.join(absent)} names no column of it", columns_there(header))


def find_columns(
    header: Collection[str],
    names: Names,
    renames: Mapping[str, str],
    where: Path | str,
    optional: Collection[str] = (),
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, str]:
    """Find the file's name of each column in `names`; `optional` ones may be missing.

    A name that a column lists belongs to that column, even if another one has it. Raises DataError naming the missing
    column and those of the file; with the file's `rows`, also if several columns with different values fit one.
    """
    check_renames({name: column for name, column in renames.items() if name in names}, header, where)
    used = set(renames.values())
    free = [name for name in header if name not in used]
    places: dict[str, str] = {}
    for column, others in names.items():
        listed = {key for each, keys in names.items() if each != column for key in keys}
        own = () if column.lower() in listed else (column.lower(),)
        fitting = [name for key in (*own, *others) for name in free if name.strip().lower() == key]
        if column in renames:
            places[column] = renames[column]
        elif fitting:
            places[column] = _one_of(column, list(dict.fromkeys(fitting)), rows or (), where)
        elif column not in optional:
            also = f" (or {', '.join(others[:4])}{', …' if len(others) > 4 else ''})" if others else ""
            number = "" if all(map(NAME.fullmatch, filter(None, header))) else " (or its number)"
            fix = f"{columns_there(header)}; {OPTION} {column}=NAME says which is meant{number}"
            raise DataError(where, f"has no column {column}{also}", fix)
    return places


def _one_of(column: str, fitting: Sequence[str], rows: Sequence[Mapping[str, Any]], where: Path | str) -> str:
    """Return the name that is the column's own, else the first. Raises DataError if the columns differ in any row."""
    own = [name for name in fitting if name == column] or [n for n in fitting if n.strip().lower() == column.lower()]
    if len(own) == 1:
        return own[0]
    if any(row.get(name) != row.get(fitting[0]) for row in rows for name in fitting[1:]):
        fix = f"{OPTION} {column}=NAME says which is meant"
        raise DataError(where, f"{' and '.join(map(repr, fitting))} could each be the column {column}", fix)
    return fitting[0]


def in_words(names: Names) -> dict[str, str]:
    """Describe the other names that each column may have, as text."""
    return {column: ", ".join(others) for column, others in names.items() if others}


def uses(task: Task, column: str, names: Names) -> bool:
    """Return whether a task uses a column: one of its data set, or one that its templates name."""
    if column in names:
        return True
    return any(text == column or names_column(text, column) for text in _texts(task))


def names_column(template: str, column: str) -> bool:
    """Return whether a template names a column."""
    return any(map(re.compile(rf"(?<!\w){re.escape(column)}(?!\w)").search, PLACE.findall(template)))


def renames_of(task: Task, own: Collection[str], stated_by: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return the user's names of a task's columns.

    A user's text COLUMN is for every task that uses the column. NAME:COLUMN is for one task or data set (`own`: its
    names), and overrides the former.
    """
    of_all: dict[str, str] = {}
    of_one: dict[str, str] = {}
    for key, column in stated_by.items():
        of, _, name = key.rpartition(":")
        if uses(task, name, names) and (not of or of in own):
            (of_one if of else of_all)[name] = column
    renames = of_all | of_one
    if twice := [name for name, column in renames.items() if list(renames.values()).count(column) > 1]:
        both = ",".join(f"{name}={renames[name]}" for name in twice)
        raise UsageError(OPTION, f"{both}: one column of a file would be several", "a column of its own for each")
    return renames


def check_stated(stated_by: Mapping[str, str], tasks: Iterable[tuple[Task, Collection[str], Names]]) -> None:
    """Raise UsageError for a name that is no column of any of the tasks.

    `tasks` has for each task its names, and the other names of its columns.
    """
    every = list(tasks)
    for key, column in stated_by.items():
        of, _, name = key.rpartition(":")
        if not any(uses(task, name, names) and (not of or of in own) for task, own, names in every):
            all_names = {each for _, _, names in every for each in names}
            fix = did_you_mean(name, all_names) if all_names else "a column that its task file names would be right"
            whose = f"the task {of!r} of this command" if of else "any task of this command"
            raise UsageError(OPTION, f"{key}={column}: {name!r} is no column of {whose}", fix)


def _texts(task: Task) -> Iterable[str]:
    for value in (
        *(task.doc_to_text, task.doc_to_target, task.doc_to_choice, task.description, task.gen_prefix),
        *(task.document, task.unit, task.value, task.choice_scores, task.labels, task.shots, task.templates, task.twin),
        *(("dialogue", "summary") if task.reader else ()),
    ):
        yield from _within(value)


def _within(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _within(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _within(each)
