"""DialogSum, SAMSum, XSum and CNN/DailyMail as files of their own to the hub's rows; a dialogue with summary1, summary2
… is a row for each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from evalharness.data.files import MARK, SUFFIXES, DataRow, numbered, read_file
from evalharness.data.layout import SPLITS, Layout, Line, below, named

COLUMNS = {  # the texts that a row must have, and the column of its id
    "dialogsum": ("dialogue", "summary"),
    "samsum": ("dialogue", "summary"),
    "xsum": ("document", "summary"),
    "cnn_dailymail": ("article", "highlights"),
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
    """SPLIT.json, or NAME.SPLIT.json; only the second is looked for where any folder may be the place (see _places)."""
    stems = SPLITS.get(split, ())
    own = named(place, [f"{name}.{stem}" for stem in stems], list(SUFFIXES))
    return own or named(place, stems, list(SUFFIXES))


def _claims(name: str, config: str, path: Path) -> bool:
    """DialogSum's own files name a dialogue `fname`; those of the others are as the hub has them."""
    if name != "dialogsum" or path.suffix.lower() not in (".jsonl", ".json") or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(1 << 16).decode(errors="replace")
    return '"fname"' in start or '"summary1"' in start


def _read(name: str, config: str, split: str | None, paths: Sequence[Path]) -> list[DataRow]:
    rows: list[DataRow] = []
    seen: dict[bytes, str] = {}  # digest of a line -> where it is
    for path in paths:
        for line in _lines(path):
            found = hashlib.sha256(json.dumps(line.row, sort_keys=True).encode()).digest()
            if found in seen and ("id" in line.row or "fname" in line.row):
                raise line.error(f"repeats {seen[found]}, id and all", "each row once would be right")
            seen[found] = line.where.strip() if line.where.startswith(" ") else f"line {line.where}"
            rows += _dialogues(line) if name == "dialogsum" else [_row(name, line)]
    return rows


def _lines(path: Path) -> Iterator[Line]:
    """The objects of a file of JSON lines, or of one JSON list, whatever its suffix."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(MARK).lstrip()[:1]
    if start == b"{" and path.suffix.lower() == ".jsonl":
        return (Line(path, str(number), row) for number, row in numbered(path))
    return (Line(path, f" row {number}", row) for number, row in enumerate(read_file(path)))


def _row(name: str, line: Line) -> DataRow:
    return {**line.row} | {column: line.text(column) for column in COLUMNS[name]}


def _dialogues(line: Line) -> list[DataRow]:
    """The hub's rows of one dialogue: its test set has three summaries each, as rows test_0_1, test_0_2, test_0_3."""
    name = line.text("fname") if "fname" in line.row else line.get("id", "a name")
    numbers = [key.removeprefix("summary") for key in line.row if key.startswith("summary") and key != "summary"]
    if not numbers:
        return [
            {
                "id": name,
                "dialogue": line.text("dialogue"),
                "summary": line.text("summary"),
                "topic": line.row.get("topic", ""),
            }
        ]
    return [
        {
            "id": f"{name}_{n}",
            "dialogue": line.text("dialogue"),
            "summary": line.text(f"summary{n}"),
            "topic": line.row.get(f"topic{n}", ""),
        }
        for n in numbers
    ]


def _layout(name: str, form: str) -> Layout:
    parts: tuple[Callable[..., object], ...] = (_places, _files, _claims, _read)
    places, files, claims, read = (partial(part, name) for part in parts)
    return Layout(form, places, files, claims, read)  # type: ignore[arg-type]


DIALOGSUM = _layout("dialogsum", "DialogSum (dialogsum.SPLIT.jsonl)")
SAMSUM = _layout("samsum", "SAMSum (SPLIT.json)")
XSUM = _layout("xsum", "XSum (SPLIT.jsonl)")
CNN = _layout("cnn_dailymail", "CNN/DailyMail (SPLIT.jsonl)")
