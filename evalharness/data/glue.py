"""Read GLUE, as published (TASK/train.tsv, dev.tsv, test.tsv; MRPC's msr_paraphrase texts) or as CSV, into hub rows.

Columns may have other names, or none. A quote is a plain character in TSV. Words for labels become the hub's numbers; a
file without labels gives -1. QQP's train.tsv has a few questions with a line break in quotes: these lines are joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.columns import Names, find_columns
from evalharness.data.contents import form_of
from evalharness.data.files import DataRow, kind, read_file
from evalharness.data.layout import SPLITS, PublishedLayout, below, child, find_file
from evalharness.data.tables import Record, are_numbers, by_number, check_names, check_width, records
from evalharness.errors import DataError
from evalharness.json_text import number_in

SUFFIXES = (".tsv", ".txt", ".csv", ".tsv.gz", ".csv.gz")
DEV_IDS = "dev_ids.tsv"  # which pairs of msr_paraphrase_train.txt are GLUE's dev set
COLA = ("source", "label", "original", "sentence")  # CoLA's columns, which its train and dev files do not name
COLA_DOMAINS = ("in_domain", "out_of_domain")  # CoLA's own files; GLUE's file is the two in this order
ONE = ("text", "sent", "review", "content", "phrase", "input")
FIRST = ("#1 string", "sentence_1", "sentence1", "text1", "text_1", "text_a", "sentence_a", "sent1", "s1", "premise")
SECOND = ("#2 string", "sentence_2", "sentence2", "text2", "text_2", "text_b", "sentence_b", "sent2", "s2")
SENTENCES: Names = {"sentence1": FIRST, "sentence2": (*SECOND, "hypothesis")}
PREMISE: Names = {"premise": FIRST, "hypothesis": SECOND}
TEXTS: dict[str, Names] = {  # config -> the hub's column -> other names of it
    "cola": {"sentence": ONE},
    "sst2": {"sentence": ONE},
    "mrpc": SENTENCES,
    "qqp": {"question1": ("q1", "question_1", *FIRST), "question2": ("q2", "question_2", *SECOND)},
    "stsb": SENTENCES,
    "mnli": PREMISE,
    "mnli_matched": PREMISE,
    "mnli_mismatched": PREMISE,
    "qnli": {"question": ("query", *FIRST), "sentence": ("context", "answer", "passage", "text", *SECOND)},
    "rte": SENTENCES,
    "wnli": SENTENCES,
    "ax": PREMISE,
}
LABEL = ("gold_label", "labels", "is_duplicate", "quality", "score", "target", "class", "gold", "y", "similarity")
ENTAILS = ("entailment", "not_entailment")
TRUTH = ("false", "true")
THREE = ("entailment", "neutral", "contradiction")
WORDS = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "qnli": ENTAILS,
    "rte": ENTAILS,
    "mnli": THREE,
    "mnli_matched": THREE,
    "mnli_mismatched": THREE,
    "ax": THREE,
}
FOLDERS = {
    **{
        name.lower().replace("-", ""): (name,)
        for name in ("CoLA", "SST-2", "MRPC", "QQP", "STS-B", "QNLI", "RTE", "WNLI")
    },
    **dict.fromkeys(("mnli", "mnli_matched", "mnli_mismatched"), ("MNLI",)),
    "ax": ("diagnostic", "AX"),
}
UNKNOWN: dict[str, Any] = {"stsb": -1.0}  # the label of rows without one, if not -1
HIGHEST = 5.0  # of STS-B's scores


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "glue", "glue_data") if config in FOLDERS else ():
        place = child(folder, *FOLDERS[config])
        if place.is_dir() and any(path.suffix.lower() in SUFFIXES for path in place.iterdir()):
            yield place


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    if config not in FOLDERS:
        return ()
    if config == "ax":
        names = ("diagnostic-full", "diagnostic", "AX", "test") if split == "test" else ()
        return next((files for stem in names if (files := find_file(place, [stem], SUFFIXES))), ())
    part = config.removeprefix("mnli_") if config.startswith("mnli_") else split.partition("_")[2]
    ending = f"_{part}" if part else ""
    stems = [name + ending for name in SPLITS.get(split.removesuffix(ending), ())]
    files = find_file(place, stems, SUFFIXES)
    if config == "cola" and not files:
        return [
            path for part in COLA_DOMAINS for path in find_file(place, [f"{part}_{stem}" for stem in stems], SUFFIXES)
        ]
    return _msr(split, place) if config == "mrpc" and (split == "test" or not files) else files


def _msr(split: str, place: Path) -> Sequence[Path]:
    """Return the files of MRPC's texts as Microsoft publishes them.

    They have the labels of the test set; GLUE's dev set is a part of train.
    """
    own = find_file(place, ["msr_paraphrase_test" if split == "test" else "msr_paraphrase_train"], SUFFIXES)
    dev = find_file(place, [DEV_IDS.removesuffix(".tsv")], SUFFIXES)
    if own and split == "test":
        return own
    if own and split in ("train", "validation") and (dev or split == "train"):
        return (*own, *dev)
    return find_file(place, SPLITS.get(split, ()), SUFFIXES)


def _recognises(config: str, path: Path) -> bool:
    return config in TEXTS


def _names(config: str) -> Names:
    return {**TEXTS[config], "label": LABEL} if config in TEXTS else {}


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    dev = [path for path in paths if path.name.lower() == DEV_IDS and len(paths) > 1]
    in_dev = {tuple(cells[:2]) for path in dev for _, cells in records(path)}
    rows: list[DataRow] = []
    for path in paths:
        if path not in dev:
            rows += _rows(config, path, renames, len(rows))
    if not dev:
        return rows
    pairs = [tuple(cells[1:3]) for _, cells in records(paths[0])[1:]]
    return [row for row, pair in zip(rows, pairs, strict=True) if (pair in in_dev) == (split == "validation")]


def _rows(config: str, path: Path, renames: Mapping[str, str], first: int) -> Iterator[DataRow]:
    """Return the rows of one file; rows without `idx` are counted from `first`."""
    if form_of(path) in (".csv", ".tsv", ".txt"):
        header, lines = _table(config, path, renames)
        rows = [(f"{path}:{number}", dict(zip(header, cells, strict=True))) for number, cells in lines]
        renames = {} if are_numbers(renames, header) else renames
    else:
        read = read_file(path)
        header = list(dict.fromkeys(key for row in read for key in row))
        whole = find_columns(header, TEXTS[config], renames, path, TEXTS[config], read).keys() >= TEXTS[config].keys()
        if not renames and (not whole or all(_as_on_hub(config, row) for row in read)):
            yield from read  # a task may need only some of the columns
            return
        rows = [(f"{path}, row {number}", dict(row)) for number, row in enumerate(read)]
    names = find_columns(header, _names(config), renames, path, ("label",), [row for _, row in rows]) if header else {}
    for index, (where, row) in enumerate(rows, first):
        texts = {column: row.get(name) for column, name in names.items() if column != "label"}
        for column, text in texts.items():
            if not isinstance(text, str):
                raise DataError(where, f"{names[column]!r} is {kind(text)}", "a text would be right")
        label = UNKNOWN.get(config, -1)
        if "label" in names:
            label = _label(config, str(row.get(names["label"], "")).strip(), where)
        yield {**texts, "label": label, "idx": _idx(row, index)}


def _idx(row: DataRow, index: int) -> int:
    idx = str(row.get("idx", ""))
    return int(idx) if idx.isdecimal() else index


def _as_on_hub(config: str, row: DataRow) -> bool:
    texts = all(isinstance(row.get(column), str) for column in TEXTS[config])
    unknown = UNKNOWN.get(config, -1)
    return texts and type(row.get("label", unknown)) is type(unknown) and isinstance(row.get("idx"), int)


def _table(config: str, path: Path, renames: Mapping[str, str]) -> tuple[list[str], list[Record]]:
    """Return the names of the columns of a table in text, and its records."""
    lines = records(path)
    if not lines:
        return [], []
    (_, first), *rest = lines
    keys = {name.strip().lower() for name in first}
    column_names = {key for column, others in TEXTS[config].items() for key in (column, *others)} | set(
        renames.values()
    )
    header = by_number(path, first, renames)
    if header is None and not keys & {name.lower() for name in column_names}:
        header = list(COLA) if config == "cola" and len(first) == len(COLA) else _unnamed(config, lines)
    if header is None:
        check_names(f"{path}:{lines[0][0]}", first)
        header, lines = first, rest
    lines = _joined(lines, len(header))
    for number, cells in lines:
        check_width(f"{path}:{number}", cells, header)
    return header, lines


def _unnamed(config: str, lines: Sequence[Record]) -> list[str] | None:
    """Return names for the columns of a file without names; None if the columns do not fit.

    One column has a label in every line, one may count the lines, and the others are the texts.
    """
    columns = list(zip(*(cells for _, cells in lines), strict=False))
    if any(len(cells) != len(columns) for _, cells in lines):
        return None
    labels = [place for place, cells in enumerate(columns) if all(_is_label(config, cell) for cell in cells)]
    others = [place for place in range(len(columns)) if place not in labels[-1:]]
    counts = [place for place in others if [cell.strip() for cell in columns[place]] in _counted(len(lines))]
    texts = [place for place in others if place not in counts]
    if not labels or len(texts) != len(TEXTS[config]):
        return None
    names = dict(zip(texts, TEXTS[config], strict=True)) | {labels[-1]: "label"}
    return [names.get(place, f"column {place + 1}") for place in range(len(columns))]


def _counted(number: int) -> list[list[str]]:
    return [[str(index) for index in range(start, start + number)] for start in (0, 1)]


def _is_label(config: str, cell: str) -> bool:
    try:
        _label(config, cell.strip(), "")
    except DataError:
        return False
    return True


def _joined(records: Sequence[tuple[int, list[str]]], fields: int) -> list[tuple[int, list[str]]]:
    """Join records that a line break inside quotes has split: "…\\n…" in one field."""
    whole: list[tuple[int, list[str]]] = []
    for number, cells in records:
        if whole and len(whole[-1][1]) < fields and len(whole[-1][1]) + len(cells) - 1 == fields:
            before = whole[-1][1]
            cell = f"{before[-1]}\n{cells[0]}"
            if len(cell) > 2 and cell.startswith('"') and cell.endswith('"'):
                whole[-1] = (whole[-1][0], [*before[:-1], cell[1:-1], *cells[1:]])
                continue
        whole.append((number, cells))
    return whole


def _label(config: str, text: str, where: str) -> Any:
    """Return the hub's number of a label. Raises DataError for "-", which marks a row without an agreed label, and for
    other words.
    """
    if text in ("-", "", "None"):
        raise DataError(where, f"has no label ({text!r})", "take the row out: nobody knows its right answer")
    if config == "stsb":
        return _score(text, where)
    words = WORDS.get(config, ("0", "1"))
    word = text.lower().replace(" ", "_").replace("-", "_")
    if word in words:
        return words.index(word)
    if word in TRUTH and len(words) == 2 and words != ENTAILS:  # does true say 1, or "entailment", which is 0?
        return TRUTH.index(word)
    if (number := text.removesuffix(".0")) in map(str, range(-1, len(words))):
        return int(number)
    raise DataError(where, f"the label is {text[:40]!r}", f"one of {', '.join(words)} would be right")


def _score(text: str, where: str) -> float:
    value = number_in(text)
    if value != -1.0 and not 0 <= value <= HIGHEST:
        raise DataError(where, f"the score is {text[:40]!r}", f"a number from 0 to {HIGHEST:g} would be right")
    return value


LAYOUT = PublishedLayout("GLUE (TASK/train.tsv, dev.tsv, test.tsv)", _places, _files, _recognises, _read, (), _names)
