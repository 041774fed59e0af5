"""Read GLUE as published (TASK/train.tsv, dev.tsv, test.tsv; MRPC's msr_paraphrase texts) into the hub's rows.

A quote is a plain character. Words for labels become the hub's numbers; a file without the label's column gives -1.
QQP's train.tsv has a few questions with a line break in quotes: such a line is put together with the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.files import DataRow, read_text
from evalharness.data.layout import SPLITS, PublishedLayout, below, child, named
from evalharness.errors import DataError

SUFFIXES = (".tsv", ".txt")
DEV_IDS = "dev_ids.tsv"  # which pairs of msr_paraphrase_train.txt are GLUE's dev set
COLA = ("source", "label", "original", "sentence")  # CoLA's columns, which its train and dev files do not name
SENTENCES: dict[str, tuple[str, ...]] = {"sentence1": ("sentence1",), "sentence2": ("sentence2",)}
PREMISE: dict[str, tuple[str, ...]] = {"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")}
TEXTS: dict[str, dict[str, tuple[str, ...]]] = {  # config -> the hub's column -> its names in the header, in lower case
    "cola": {"sentence": ("sentence",)},
    "sst2": {"sentence": ("sentence",)},
    "mrpc": {"sentence1": ("#1 string", "sentence1"), "sentence2": ("#2 string", "sentence2")},
    "qqp": {"question1": ("question1",), "question2": ("question2",)},
    "stsb": SENTENCES,
    "mnli": PREMISE,
    "mnli_matched": PREMISE,
    "mnli_mismatched": PREMISE,
    "qnli": {"question": ("question",), "sentence": ("sentence",)},
    "rte": SENTENCES,
    "wnli": SENTENCES,
    "ax": PREMISE,
}
LABEL_NAMES = ("gold_label", "label", "is_duplicate", "quality", "score")
ENTAILS = ("entailment", "not_entailment")
THREE = ("entailment", "neutral", "contradiction")
WORDS = {"qnli": ENTAILS, "rte": ENTAILS, "mnli": THREE, "mnli_matched": THREE, "mnli_mismatched": THREE, "ax": THREE}
FOLDERS = {
    **{
        name.lower().replace("-", ""): (name,)
        for name in ("CoLA", "SST-2", "MRPC", "QQP", "STS-B", "QNLI", "RTE", "WNLI")
    },
    **dict.fromkeys(("mnli", "mnli_matched", "mnli_mismatched"), ("MNLI",)),
    "ax": ("diagnostic", "AX"),
}
UNKNOWN: dict[str, Any] = {"stsb": -1.0}  # the label of a row whose file has none, where it is not -1
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
        return next((files for stem in names if (files := named(place, [stem], SUFFIXES))), ())
    part = config.removeprefix("mnli_") if config.startswith("mnli_") else split.partition("_")[2]
    ending = f"_{part}" if part else ""
    stems = [name + ending for name in SPLITS.get(split.removesuffix(ending), ())]
    files = named(place, stems, SUFFIXES)
    return _msr(split, place) if config == "mrpc" and (split == "test" or not files) else files


def _msr(split: str, place: Path) -> Sequence[Path]:
    """MRPC's texts as Microsoft publishes them: the test set has its labels there; GLUE's dev set is a part of
    train.
    """
    own = named(place, ["msr_paraphrase_test" if split == "test" else "msr_paraphrase_train"], SUFFIXES)
    dev = named(place, [DEV_IDS.removesuffix(".tsv")], SUFFIXES)
    if own and split == "test":
        return own
    if own and split in ("train", "validation") and (dev or split == "train"):
        return (*own, *dev)
    return named(place, SPLITS.get(split, ()), SUFFIXES)


def _recognises(config: str, path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and config in TEXTS


def _read(config: str, split: str | None, paths: Sequence[Path]) -> list[DataRow]:
    path, *others = paths
    lines = list(_lines(path))
    if not lines:
        return []
    if config == "cola" and "sentence" not in map(str.lower, lines[0][1]):
        lines = [(0, list(COLA)), *lines]
    (_, header), *records = lines
    columns = _columns(config, header, path)
    in_dev = {tuple(cells[:2]) for _, cells in _lines(others[0])} if others else set()
    rows: list[DataRow] = []
    for index, (number, cells) in enumerate(_joined(records, len(header))):
        if len(cells) != len(header):
            raise DataError(
                f"{path}:{number}",
                f"has {len(cells)} field{'s' if len(cells) != 1 else ''}",
                f"the header names {len(header)} ({', '.join(header[:6])}{', …' if len(header) > 6 else ''})",
            )
        if others and (tuple(cells[1:3]) in in_dev) != (split == "validation"):
            continue
        texts = {column: cells[place] for column, place in columns.items() if column != "label"}
        label = UNKNOWN.get(config, -1)
        if "label" in columns:
            label = _label(config, cells[columns["label"]].strip(), f"{path}:{number}")
        rows.append({**texts, "label": label, "idx": index})
    return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.rstrip("\r"):
            yield number, line.removesuffix("\r").split("\t")


def _columns(config: str, header: Sequence[str], path: Path) -> dict[str, int]:
    """The place in a line of each of the hub's columns; without "label" where the file has none."""
    names = [name.strip().lower() for name in header]
    columns = {}
    for column, aliases in TEXTS[config].items():
        place = next((names.index(alias) for alias in aliases if alias in names), None)
        if place is None:
            raise DataError(
                f"{path}:1",
                f"the header names {', '.join(header)[:200]!r}",
                f"a column {' or '.join(aliases)} would be right",
            )
        columns[column] = place
    label = next((names.index(alias) for alias in LABEL_NAMES if alias in names), None)
    return columns if label is None else columns | {"label": label}


def _joined(records: Sequence[tuple[int, list[str]]], fields: int) -> list[tuple[int, list[str]]]:
    """A record that a line break inside quotes has cut in two is made whole: "…\\n…" in one field."""
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
    """A label as the hub numbers it. Raises DataError for "-", which marks a row that its annotators did not agree on,
    and for other words.
    """
    words = WORDS.get(config, ("0", "1"))
    if text in ("-", ""):
        raise DataError(where, f"has no label ({text!r})", "take the row out: nobody knows its right answer")
    if config == "stsb":
        return _score(text, where)
    if text in words:
        return words.index(text)
    if text in map(str, range(-1, len(words))):
        return int(text)
    raise DataError(where, f"the label is {text[:40]!r}", f"one of {', '.join(words)} would be right")


def _score(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value != -1.0 and not 0 <= value <= HIGHEST:
        raise DataError(where, f"the score is {text[:40]!r}", f"a number from 0 to {HIGHEST:g} would be right")
    return value


LAYOUT = PublishedLayout("GLUE (TASK/train.tsv, dev.tsv, test.tsv)", _places, _files, _recognises, _read)
