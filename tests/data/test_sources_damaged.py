"""Valid files of every layout, damaged in thousands of ways by a seeded mutator: each reads to its rows or is refused
with its place.

A damaged file may still be a valid one (a changed letter in a sentence). What may not happen is a traceback, an error
without the file's name, or fewer rows than the file has.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

Of = Callable[..., Task]
Damage = Callable[[bytes, random.Random], bytes]

ROWS = 6


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def record(idx: int) -> dict[str, Any]:
    passage = {"text": "Ada met Bo. Ada left.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 9}]}
    return {
        "idx": idx,
        "passage": passage,
        "qas": [{"idx": idx, "query": "@placeholder left", "answers": [{"start": 0, "end": 2, "text": "Ada"}]}],
    }


def multirc(idx: int) -> dict[str, Any]:
    answers = [{"idx": 0, "text": "Ada", "label": idx % 2}]
    return {
        "idx": idx,
        "passage": {"text": "Ada met Bo.", "questions": [{"idx": 0, "question": "Who?", "answers": answers}]},
    }


def wsc(idx: int) -> dict[str, Any]:
    spans = {"span1_index": 0, "span1_text": "Ada", "span2_index": 3, "span2_text": "it"}
    return {"text": "Ada took it .", "target": spans, "idx": idx, "label": idx % 2 == 0}


FORMS: dict[str, tuple[str, str | None, str, bytes]] = {  # dataset_path, dataset_name, place, six rows
    "mmlu": (
        "cais/mmlu",
        "astronomy",
        "mmlu/val/astronomy_val.csv",
        b"".join(b'"a, ""b""?\n%d",w,x,y,z,%c\n' % (i, b"ABCD"[i % 4]) for i in range(6)),
    ),
    "cola": (
        "nyu-mll/glue",
        "cola",
        "glue/CoLA/dev.tsv",
        b"".join(b"s\t%d\t\tA sentence %d.\n" % (i % 2, i) for i in range(6)),
    ),
    "rte": (
        "nyu-mll/glue",
        "rte",
        "glue/RTE/dev.tsv",
        b"index\tsentence1\tsentence2\tlabel\n" + b"".join(b'%d\tA "quote.\tB.\tentailment\n' % i for i in range(6)),
    ),
    "stsb": (
        "nyu-mll/glue",
        "stsb",
        "glue/STS-B/dev.tsv",
        b"sentence1\tsentence2\tscore\n" + b"".join(b"a\tb\t%d.5\n" % (i % 5) for i in range(6)),
    ),
    "boolq": (
        "aps/super_glue",
        "boolq",
        "superglue/BoolQ/val.jsonl",
        lines(*({"question": "q", "passage": "p", "idx": i, "label": i % 2 == 0} for i in range(6))),
    ),
    "wsc": ("aps/super_glue", "wsc.fixed", "superglue/WSC/val.jsonl", lines(*map(wsc, range(6)))),
    "multirc": ("aps/super_glue", "multirc", "superglue/MultiRC/val.jsonl", lines(*map(multirc, range(6)))),
    "record": ("aps/super_glue", "record", "superglue/ReCoRD/val.jsonl", lines(*map(record, range(6)))),
    "bigbench": (
        "hails/bigbench",
        "wetness_zero_shot",
        "bigbench/wetness/task.json",
        json.dumps(
            {"task_prefix": "p", "examples": [{"input": f"q{i}", "target_scores": {"a": 1, "b": 0}} for i in range(6)]},
            indent=1,
        ).encode(),
    ),
    "dialogsum": (
        "knkarthick/dialogsum",
        None,
        "dialogsum/dialogsum.dev.jsonl",
        lines(*({"fname": f"d{i}", "dialogue": "x", "summary": "y", "topic": "z"} for i in range(6))),
    ),
    "samsum": (
        "knkarthick/samsum",
        None,
        "samsum/val.json",
        json.dumps([{"id": str(i), "dialogue": "x", "summary": "y"} for i in range(6)]).encode(),
    ),
}


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def swap_bytes(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] = rng.choice(
            [0, 9, 10, 13, 34, 44, 0x5C, 0x7B, 0x7D, 0x80, 0xFF, rng.randrange(256)]
        )
    return bytes(found)


def insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    extra = rng.choice(
        [
            b'"',
            b"\t",
            b",",
            b"\n",
            b"\r\n",
            b"\xff",
            b"\x00",
            b"{",
            b"]",
            b"null",
            b"1e999",
            b"NaN",
            b"\xef\xbb\xbf",
            b"\\ud800",
        ]
    )
    return data[:place] + extra + data[place:]


def drop_a_piece(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 30) :]


def repeat_a_line(data: bytes, rng: random.Random) -> bytes:
    found = data.split(b"\n")
    return b"\n".join([*found, rng.choice(found)])


def change_a_value(data: bytes, rng: random.Random) -> bytes:
    """Another type for one value of one object, where the file is JSON."""
    whole = not data.startswith(b"{") or b"examples" in data
    try:
        rows = json.loads(data) if whole else [json.loads(line) for line in data.splitlines()]
    except ValueError:
        return swap_bytes(data, rng)
    spot: Any = rows
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = rng.choice(keys)
        if isinstance(spot[key], (dict, list)) and spot[key] and rng.random() < 0.8:
            spot = spot[key]
            continue
        spot[key] = rng.choice([None, 7, -3, 0.5, True, "text", [], {}, ["x"], {"a": 1}, 10**30])
        return json.dumps(rows).encode() if whole else lines(*rows)


def remove_a_key(data: bytes, rng: random.Random) -> bytes:
    whole = not data.startswith(b"{") or b"examples" in data
    try:
        rows = json.loads(data) if whole else [json.loads(line) for line in data.splitlines()]
    except ValueError:
        return drop_a_piece(data, rng)
    objects = [spot for spot in _objects(rows) if spot]
    spot = rng.choice(objects)
    del spot[rng.choice(list(spot))]
    return json.dumps(rows).encode() if whole else lines(*rows)


def _objects(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if isinstance(value, dict) else []) + [found for each in inner for found in _objects(each)]


DAMAGES: tuple[Damage, ...] = (cut, swap_bytes, insert, drop_a_piece, repeat_a_line, change_a_value, remove_a_key)


def at_least(form: str, data: bytes) -> int:
    """Rows that a file surely holds: records that a line break ends, less one that the damage may have joined to its
    neighbour on each side.
    """
    if form in ("bigbench", "samsum"):
        document = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
        return len(document["examples"] if form == "bigbench" else document)
    if form == "mmlu":
        return 1  # a lone quote may pair with the next one, and make one long question: still a valid file
    headers = form in ("rte", "stsb")
    return (
        len([line for line in data.split(b"\n") if line.strip(b"\r")])
        - headers
        - (form == "cola" and b"sentence\n" in data)
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_files_are_right_before_they_are_damaged(of: Of, tmp_path: Path, form: str) -> None:
    path, config, place, data = FORMS[form]
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    split = "default" if form == "bigbench" else "validation"
    assert len(read_rows(of(path, config), split, DataSource(tmp_path)).rows) == ROWS


@pytest.mark.fault(18)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("times", [20, pytest.param(60, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_whole_or_refused_by_name(
    of: Of, tmp_path: Path, form: str, damage: Damage, times: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("injected", times)
    path, config, place, data = FORMS[form]
    task, split = of(path, config), "default" if form == "bigbench" else "validation"
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    rng = random.Random(f"{form} {damage.__name__}")
    refused = 0
    for _ in range(times):
        broken = damage(data, rng)
        file.write_bytes(broken)
        try:
            rows = read_rows(task, split, DataSource(tmp_path)).rows
        except DataError as error:
            refused += 1
            assert file.name in str(error), str(error)
            assert error.fix, str(error)
        else:
            assert len(rows) >= at_least(form, broken), broken
    assert refused or damage is repeat_a_line, "the mutator does nothing"
