"""Read SuperGLUE, as published (TASK/train.jsonl, val.jsonl, test.jsonl) or in other formats, into the hub's rows.

Other formats are CSV, Parquet and other names of columns. Words and truth values become the hub's label numbers; a file
without labels gives -1. A passage of MultiRC becomes a row for each of its answers, one of ReCoRD a row for each query.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalharness.data.columns import Names, find_columns
from evalharness.data.contents import form_of
from evalharness.data.files import DataRow, numbered_rows, read_file
from evalharness.data.layout import SPLITS, JsonObject, PublishedLayout, below, child, find_file, objects
from evalharness.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz")
FOLDERS = {
    **{name.lower(): name for name in ("BoolQ", "CB", "COPA", "MultiRC", "ReCoRD", "RTE", "WiC", "WSC")},
    "wsc.fixed": "WSC",
    "axb": "AX-b",
    "axg": "AX-g",
}
ENTAILS = ("entailment", "not_entailment")
WORDS = {"cb": ("entailment", "contradiction", "neutral"), "rte": ENTAILS, "axb": ENTAILS, "axg": ENTAILS}
TEXTS = {  # the columns of texts
    "boolq": ("question", "passage"),
    "cb": ("premise", "hypothesis"),
    "copa": ("premise", "choice1", "choice2", "question"),
    "rte": ("premise", "hypothesis"),
    "wic": ("word", "sentence1", "sentence2"),
    "wsc": ("text",),
    "axb": ("sentence1", "sentence2"),
    "axg": ("premise", "hypothesis"),
}
NUMBERS = {"wic": ("start1", "start2", "end1", "end2")}
PREMISE: Names = {"premise": ("sentence1", "text1", "text_a"), "hypothesis": ("sentence2", "text2", "text_b")}
LABEL = ("gold_label", "labels", "class", "gold", "answer", "y")
OTHER_NAMES: dict[str, Names] = {  # of the columns of a config
    "boolq": {"question": ("query", "q"), "passage": ("context", "paragraph", "text")},
    "cb": PREMISE,
    "rte": PREMISE,
    "axg": PREMISE,
    "axb": {"sentence1": ("premise", "text1", "text_a"), "sentence2": ("hypothesis", "text2", "text_b")},
    "copa": {"choice1": ("alternative1", "option1"), "choice2": ("alternative2", "option2"), "premise": ("sentence",)},
}
SPANS = ("span1", "span2")


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "superglue", "superglue_data") if config in FOLDERS else ():
        place = child(folder, FOLDERS[config])
        if place.is_dir() and any(path.suffix.lower() in SUFFIXES for path in place.iterdir()):
            yield place


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    stems = SPLITS.get(split, ()) if config in FOLDERS else ()
    if config in ("axb", "axg") and split == "test":
        stems = (*stems, FOLDERS[config])  # the diagnostics are one file, AX-b.jsonl
    return find_file(place, stems, SUFFIXES)


def _recognises(config: str, path: Path) -> bool:
    """Return whether the file has the authors' form: the hub's rows have a number as label, and no object but idx."""
    if config not in FOLDERS or not path.is_file():
        return False
    try:
        rows = (
            numbered_rows(path)
            if form_of(path) == ".jsonl"
            else enumerate(read_file(path, texts=TEXTS.get(config, ())))
        )
        row = next((row for _, row in rows), None)
    except DataError:
        return True
    if row is None or config in ("multirc", "record"):
        return row is not None and isinstance(row.get("passage"), dict)
    names, label = _names(config), row.get("label")
    places = find_columns(list(row), names, {}, path, names)
    other_names = any(column != name for name, column in places.items()) or "idx" not in row
    whole = places.keys() >= set(TEXTS.get(config, ()))
    return "target" in row or (whole and other_names) or not isinstance(label, int) or isinstance(label, bool)


def _names(config: str) -> Names:
    if config not in TEXTS:
        return {}
    return {column: OTHER_NAMES.get(config, {}).get(column, ()) for column in TEXTS[config]} | {"label": LABEL}


def _lines(config: str, path: Path, renames: Mapping[str, str]) -> list[JsonObject]:
    """Return the rows of a file with the hub's names of columns; rows without `idx` are counted."""
    names = _names(config)
    lines = objects(path, names, TEXTS.get(config, ()), renames, form_of(path) == ".jsonl")
    if names and not any("idx" in line.values for line in lines):
        lines = [replace(line, values={**line.values, "idx": index}) for index, line in enumerate(lines)]
    return lines


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    make: Callable[[str, JsonObject], Iterator[DataRow]] = {"multirc": _answers, "record": _queries}.get(config, _row)
    rows: list[DataRow] = []
    lines: dict[str, str] = {}  # idx -> line
    for path in paths:
        for line in _lines(config, path, renames):
            for row in make(config, line):
                key = json.dumps(row["idx"])
                if key in lines:
                    raise line.error(
                        f"has the idx {key}, as line {lines[key]} has", "an idx of its own for each row would be right"
                    )
                lines[key] = line.where
                rows.append(row)
                _check_label(row, rows[0], line)
    return rows


def _check_label(row: DataRow, first: DataRow, line: JsonObject) -> None:
    """Raise DataError unless all rows of a file have a label, or none has."""
    has, other = (row.get("label", -1) != -1 or bool(row.get("answers")) for row in (row, first))
    if has != other:
        raise line.error(
            "has a label, though rows before it have none" if has else "has no label, though rows before it have one",
            "labels in every row, or in none, would be right",
        )


def _row(config: str, line: JsonObject) -> Iterator[DataRow]:
    kind = "wsc" if config.startswith("wsc") else config
    row: dict[str, Any] = {key: line.text(key) for key in TEXTS[kind]}
    row |= {key: line.whole(key) for key in NUMBERS.get(kind, ())}
    if kind == "wsc":
        spans = line.inside("target") if "target" in line.values else line
        row |= {f"{span}_index": spans.whole(f"{span}_index") for span in SPANS}
        row |= {f"{span}_text": spans.text(f"{span}_text") for span in SPANS}
    if config == "wsc.fixed":
        row |= {f"{span}_text": _mended(row, span) for span in SPANS}
    if kind == "copa" and row["question"] not in ("cause", "effect"):
        raise line.error(f"the question is {row['question'][:40]!r}", "cause or effect would be right")
    yield row | {"idx": line.whole("idx"), "label": _label(config, line)}


def _answers(config: str, line: JsonObject) -> Iterator[DataRow]:
    passage = line.inside("passage")
    for question in passage.each("questions"):
        for answer in question.each("answers"):
            idx = {"paragraph": line.whole("idx"), "question": question.whole("idx"), "answer": answer.whole("idx")}
            texts = {
                "paragraph": passage.text("text"),
                "question": question.text("question"),
                "answer": answer.text("text"),
            }
            yield texts | {"idx": idx, "label": _label(config, answer)}


def _queries(config: str, line: JsonObject) -> Iterator[DataRow]:
    """Return a row for each query.

    `entities` are the marked texts of the passage, each once. Published spans include their last character, the hub's
    end after it.
    """
    passage = line.inside("passage")
    text = passage.text("text")
    spans = sorted((_span(entity, text) for entity in passage.each("entities")), key=lambda span: span[0])
    names = [text[start:end] for start, end in spans]
    marked = {"text": names, "start": [start for start, _ in spans], "end": [end for _, end in spans]}
    for query in line.each("qas"):
        right = query.each("answers", least=0) if "answers" in query.values else []
        if "@placeholder" not in query.text("query"):
            raise query.error("the query has no @placeholder", "the place that an entity fills is marked so")
        row = {
            "passage": text,
            "query": query.text("query"),
            "entities": list(dict.fromkeys(names)),
            "entity_spans": marked,
        }
        answers = sorted({answer.text("text") for answer in right})
        yield row | {"answers": answers, "idx": {"passage": line.whole("idx"), "query": query.whole("idx")}}


def _span(entity: JsonObject, text: str) -> tuple[int, int]:
    start, last = entity.whole("start"), entity.whole("end")
    if not 0 <= start <= last < len(text):
        raise entity.error(
            f"the span {start} to {last} is not in the passage of {len(text)} characters",
            "places of its first and last character would be right",
        )
    return start, last + 1


def _label(config: str, line: JsonObject) -> int:
    """Return the hub's number of the label; -1 if the line has none. Raises DataError for a label that is none of the
    task's.
    """
    words = WORDS.get(config, ("false", "true"))
    label: Any = line.values.get("label", -1)
    if isinstance(label, str) and label.lower() in words:
        return words.index(label.lower())
    if isinstance(label, bool) and config in WORDS:
        raise line.error(f"the label is {str(label).lower()}", f"{' or '.join(words)} would be right")
    if isinstance(label, int) and (-1 if "label" not in line.values else 0) <= label < len(words):
        return int(label)
    right = " or ".join(words) if config in WORDS else "0 or 1" if config in ("copa", "multirc") else "true or false"
    raise line.error(f"the label is {str(label)[:40]!r}", f"{right} would be right")


def _mended(row: DataRow, span: str) -> str:
    """Return a span's text, corrected so that it occurs in the passage.

    The case of its first letter, white space and the last full stop are corrected. It is unchanged if that does not
    help.
    """
    text: str = row[f"{span}_text"]
    words = row["text"].split()
    if not text or text in row["text"] or not 0 <= row[f"{span}_index"] < len(words):
        return text
    first = text[0].lower() if words[row[f"{span}_index"]][0].islower() else text[0].upper()
    mended = (first + text[1:]).rstrip(".").replace("\n", " ")
    return mended if mended in row["text"] else text


LAYOUT = PublishedLayout(
    "SuperGLUE (TASK/train.jsonl, val.jsonl, test.jsonl)",
    _places,
    _files,
    _recognises,
    _read,
    ("entities", "answers"),
    _names,
)
