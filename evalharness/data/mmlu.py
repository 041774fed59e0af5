"""Read MMLU, as published (SPLIT/SUBJECT_SPLIT.csv) or in other formats, into the hub's rows.

A published row is question, four answers, the right letter. Other formats have a line of names, answers by number, JSON
lines or Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.columns import NAME, Names, find_columns
from evalharness.data.contents import SUFFIXES, form_of, stem_of
from evalharness.data.files import DataRow, read_file
from evalharness.data.layout import PublishedLayout, below, find_file
from evalharness.data.tables import are_numbers, by_number, check_names, check_width, records
from evalharness.errors import DataError

FIELDS = 6
ANSWERS = {**{letter: number for number, letter in enumerate("ABCD")}, **{str(number): number for number in range(4)}}
SPLITS = {"dev": ("dev",), "validation": ("val", "validation"), "test": ("test",), "train": ("train",)}
MANY = 20  # answers; among this many counted from 0 there is a 0 with a probability of 99.7 %
ALL = "all"  # the hub's config of all subjects
CHOICES = ("choice0", "choice1", "choice2", "choice3")
ONE_COLUMN: Names = {
    "question": ("prompt", "input", "query", "text", "q"),
    "choices": ("options",),
    "answer": ("label", "target", "correct", "correct_answer", "answer_idx", "answer_index", "gold", "key"),
    "subject": ("category", "topic"),
}
NUMBERED = ("choice{}", "choice_{}", "option{}", "option_{}", "choices{}", "choices_{}", "answer{}", "answer_{}")
LETTERED = ("{}", "op{}", "option{}", "option_{}", "choice{}", "choice_{}", "answer_{}")
LETTERS = "abcdefghij"
ONE_EACH: Names = {name: others for name, others in ONE_COLUMN.items() if name != "choices"}


def _spelled(number: int, start: int) -> tuple[str, ...]:
    """Return the names of choice `number`, counted from 0, in a file that counts from `start`."""
    own = [style.format(number + start) for style in NUMBERED]
    return (*own, *(style.format(LETTERS[number]) for style in LETTERED))


STARTS: tuple[Names, ...] = tuple(
    {**ONE_EACH, **{choice: _spelled(n, start) for n, choice in enumerate(CHOICES)}} for start in (0, 1)
)
COLUMNS: Names = {name: tuple(dict.fromkeys((*STARTS[0][name], *STARTS[1][name]))) for name in STARTS[0]}
FIFTH = tuple(frozenset(_spelled(len(CHOICES), start)) for start in (0, 1))


_Table = tuple[list[str], list[tuple[str, DataRow]], Mapping[str, str]]


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "mmlu", "data", "mmlu/data"):
        if any(_files(config, split, folder) for split in SPLITS):
            yield folder


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    names = SPLITS.get(split, (split,))
    for folder in (*(place / name for name in names), place):
        if config == ALL:
            files = sorted(path for name in names for path in folder.glob(f"*_{name}.csv"))
        else:
            files = find_file(folder, [f"{config}_{name}" for name in names], SUFFIXES)
        if files:
            return files
    return ()


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    return [row for path in paths for row in _rows(path, config if config != ALL else _subject(path), renames)]


def _subject(path: Path) -> str:
    return stem_of(path).rpartition("_")[0]


def _rows(path: Path, subject: str, renames: Mapping[str, str]) -> Iterator[DataRow]:
    if form_of(path) in (".csv", ".tsv"):
        header, rows, renames = _table(path, renames)
    else:
        read = read_file(path)
        if not renames and all(map(_as_on_hub, read)):
            yield from read
            return
        header = list(dict.fromkeys(key for row in read for key in row))
        rows = [(f"{path}, row {number}", row) for number, row in enumerate(read)]
    columns = _columns(header, renames, path, [row for _, row in rows]) if header and rows else {}
    if columns:
        _check_numbers(path, header, [str(row.get(columns["answer"], "")).strip() for _, row in rows])
    for where, row in rows:
        choices = _choices([row.get(columns[name]) for name in ("choices", *CHOICES) if name in columns], where)
        answer = str(row.get(columns["answer"], "")).strip()
        of = str(row.get(columns["subject"])) if "subject" in columns else subject
        number = ANSWERS.get(answer.upper())
        if number is None and not answer.isdecimal() and choices.count(answer) == 1:
            number = choices.index(answer)
        if number is None:
            raise DataError(where, f"the answer is {answer[:40]!r}", "A, B, C or D (or 0 to 3) would be right")
        yield {"question": row[columns["question"]], "subject": of, "choices": choices, "answer": number}


def _check_numbers(path: Path, header: Iterable[str], answers: Collection[str]) -> None:
    """Raise DataError if answers are numbers that may be counted from 1.

    They may be if the file's choices are counted so, or if there is no 0 among many answers.
    """
    if set(answers) <= {"1", "2", "3"} and (_start(header) or len(answers) >= MANY):
        what = f"its {len(answers)} answers are 1 to 3, and may be counted from 1"
        raise DataError(path, what, "letters (A to D) would be right, or numbers from 0 with a 0 among them")


def _table(path: Path, renames: Mapping[str, str]) -> _Table:
    """Read a table in text, and return the names of its columns, its records, and the renames that are still to be
    applied.

    Published files have no names: they have six cells, the last of which is an answer.
    """
    lines = records(path)
    if not lines:
        return [], [], renames
    first = lines[0][1]
    header = by_number(path, first, renames)
    if header is None and set(renames.values()) <= set(first) and _names_columns(first, renames):
        check_names(f"{path}:{lines[0][0]}", first)
        header, lines = first, lines[1:]
    elif header is None and (renames or len(first) != FIELDS or _name_count(first) > 1 or _only_names(first)):
        find_columns(first, STARTS[_start(first)], renames, f"{path}:1", ("subject",))
    header = header or ["question", *CHOICES, "answer"]
    for number, cells in lines:
        check_width(f"{path}:{number}", cells, header)
    rows: list[tuple[str, DataRow]] = [
        (f"{path}:{number}", dict(zip(header, cells, strict=True))) for number, cells in lines
    ]
    return header, rows, {} if are_numbers(renames, header) else renames


def _name_count(first: Sequence[str]) -> int:
    """Return how many cells are names of columns and no answers."""
    keys = {cell.strip().lower() for cell in first[:-1] if cell.strip().upper() not in ANSWERS}
    return len(keys & {key for name, others in COLUMNS.items() for key in (name, *others)})


def _only_names(first: Sequence[str]) -> bool:
    """Return whether a line looks like names of columns, with no answer in the last cell."""
    *others, last = (cell.strip() for cell in first)
    return all(map(NAME.fullmatch, first)) and last not in others and len(last) > 1


def _start(header: Iterable[str]) -> int:
    """Return the number from which a file counts its choices."""
    keys = {name.strip().lower() for name in header}
    zero, four = ({style.format(number) for style in NUMBERED} for number in (0, len(CHOICES)))
    return int(not keys & zero and bool(keys & four))


def _names_columns(first: Sequence[str], renames: Mapping[str, str]) -> bool:
    """Return whether a line has all needed names of columns, and no answer in the answer's place."""
    try:
        places = _columns(first, renames, "")
    except DataError:
        return False
    return places["answer"].strip().upper() not in ANSWERS


def _columns(
    header: Collection[str], renames: Mapping[str, str], where: Path | str, rows: Sequence[DataRow] | None = None
) -> dict[str, str]:
    """Return the file's name of each column, with the choices in one or four. Raises DataError as `find_columns` does
    and, with the file's rows, for a fifth choice.
    """
    keys = {name.strip().lower() for name in header}
    one, start = "choices" in renames or "choices" in keys or "options" in keys, _start(header)
    names = ONE_COLUMN if one else STARTS[start]
    own = {name: column for name, column in renames.items() if name in names}
    places = find_columns(header, names, own, where, ("subject",), rows)
    beyond = [name for name in header if name.strip().lower() in FIFTH[start] and name not in places.values()]
    if beyond and rows is not None and not one:
        what = f"has more than four choices, and {', '.join(map(repr, beyond))} would be dropped"
        raise DataError(where, what, "four choices would be right, or all of them as a list in one column, choices")
    return places


def _choices(values: Sequence[Any], where: str) -> list[str]:
    if len(values) == 1 and isinstance(values[0], str):
        try:
            values = [json.loads(values[0])]
        except ValueError:
            values = [None]
    listed = values[0] if len(values) == 1 else values
    if not isinstance(listed, list) or not all(isinstance(choice, str) for choice in listed):
        raise DataError(where, "column 'choices' holds no list of texts", "a list would be right (CSV has none)")
    return list(listed)


def _as_on_hub(row: DataRow) -> bool:
    """Return whether a row is as on the hub, with the four answers in one column, `choices`."""
    answer = row.get("answer")
    return "question" in row and "choices" in row and isinstance(answer, int) and not isinstance(answer, bool)


LAYOUT = PublishedLayout(
    "MMLU (SPLIT/SUBJECT_SPLIT.csv)",
    _places,
    _files,
    lambda config, path: True,
    _read,
    ("choices",),
    lambda config: {**COLUMNS, "choices": ONE_COLUMN["choices"]},
)
