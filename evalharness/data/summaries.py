"""Read DialogSum, SAMSum, XSum and CNN/DailyMail as published into the hub's rows.

A dialogue with summary1, summary2 … becomes one row for each summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from evalharness import fingerprint
from evalharness.data.columns import Names
from evalharness.data.contents import SUFFIXES, form_of, lines
from evalharness.data.files import DataRow
from evalharness.data.layout import SPLITS, JsonObject, PublishedLayout, below, find_file, objects

SHORT = ("target", "reference", "abstract", "tldr")
DIALOGUE: Names = {"dialogue": ("dialog", "conversation", "text", "document"), "summary": SHORT}
DOCUMENT: Names = {"document": ("article", "text", "source", "body"), "summary": ("highlights", *SHORT)}
ARTICLE: Names = {"article": ("document", "text", "source", "body"), "highlights": ("summary", *SHORT)}
COLUMNS = {  # the texts that a row must have, and other names of them
    "dialogsum": DIALOGUE,
    "samsum": DIALOGUE,
    "xsum": DOCUMENT,
    "cnn_dailymail": ARTICLE,
}
ROOTS = {
    "dialogsum": ("dialogsum", "DialogSum_Data", "dialogsum/DialogSum_Data"),
    "samsum": ("samsum", "samsum-corpus"),
    "xsum": ("xsum", "xsum-summarization"),
    "cnn_dailymail": ("cnn_dailymail", "cnn_dm", "cnn_dailymail/3.0.0"),
}


def _places(name: str, config: str, root: Path) -> Iterator[Path]:
    for number, folder in enumerate(below(root, *ROOTS[name])):
        if (number or name == "dialogsum") and any(_files(name, config, split, folder) for split in SPLITS):
            yield folder


def _files(name: str, config: str, split: str, place: Path) -> Sequence[Path]:
    """Return the file NAME.SPLIT.json of a split, else SPLIT.json."""
    stems = SPLITS.get(split, ())
    own = find_file(place, [f"{name}.{stem}" for stem in stems], list(SUFFIXES))
    return own or find_file(place, stems, list(SUFFIXES))


def _recognises(name: str, config: str, path: Path) -> bool:
    """Return whether a file has the column `fname`, as DialogSum's own files have; the others have the hub's
    columns.
    """
    if name != "dialogsum" or form_of(path) not in (".jsonl", ".json") or not path.is_file():
        return False
    start = next(lines(path), "")[: 1 << 16]
    return '"fname"' in start or '"summary1"' in start


def _read(
    name: str, config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]
) -> list[DataRow]:
    rows: list[DataRow] = []
    places: dict[str, str] = {}  # digest of an object -> where it is
    for path in paths:
        for line in _lines(name, path, renames):
            digest = fingerprint.of_value(line.values)
            if digest in places and ("id" in line.values or "fname" in line.values):
                raise line.error(f"repeats {places[digest]}, id and all", "each row once would be right")
            places[digest] = line.where.strip() if line.where.startswith(" ") else f"line {line.where}"
            rows += _dialogues(line) if name == "dialogsum" else [_row(name, line)]
    return rows


def _lines(name: str, path: Path, renames: Mapping[str, str]) -> list[JsonObject]:
    """Return the rows of a file with the hub's names of columns."""
    by_line = form_of(path) == ".jsonl" and next(lines(path), "").lstrip()[:1] == "{"
    return objects(path, COLUMNS[name], COLUMNS[name], renames, by_line)


def _row(name: str, line: JsonObject) -> DataRow:
    return {**line.values} | {column: line.text(column) for column in COLUMNS[name]}


def _dialogues(line: JsonObject) -> list[DataRow]:
    """Return the hub's rows of one dialogue: its test set has three summaries each, as rows test_0_1, test_0_2,
    test_0_3.
    """
    name = line.text("fname") if "fname" in line.values else line.get("id", "a name")
    numbers = [key.removeprefix("summary") for key in line.values if key.startswith("summary") and key != "summary"]
    return [
        {
            "id": f"{name}_{number}" if number else name,
            "dialogue": line.text("dialogue"),
            "summary": line.text(f"summary{number}"),
            "topic": line.values.get(f"topic{number}", ""),
        }
        for number in numbers or [""]
    ]


def _layout(name: str, form: str) -> PublishedLayout:
    return PublishedLayout(
        form,
        partial(_places, name),
        partial(_files, name),
        partial(_recognises, name),
        partial(_read, name),
        names=lambda config: COLUMNS[name],
    )


DIALOGSUM = _layout("dialogsum", "DialogSum (dialogsum.SPLIT.jsonl)")
SAMSUM = _layout("samsum", "SAMSum (SPLIT.json)")
XSUM = _layout("xsum", "XSum (SPLIT.jsonl)")
CNN = _layout("cnn_dailymail", "CNN/DailyMail (SPLIT.jsonl)")
