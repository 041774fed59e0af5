"""Data files to rows. Parquet is written by pyarrow, CSV by pandas and the csv module: other hands than the ones that
read.
"""

from __future__ import annotations

import csv
import datetime
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalharness.data.files import read_file
from evalharness.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"text": 'He said "no", twice.\nThen\u2028left.', "label": 0, "score": 1.5},
    {"text": "naïve café, 東京", "label": 1, "score": 2.0},
    {"text": " spaces  kept ", "label": -1, "score": -0.25},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("a.jsonl", "\r\n".join(json.dumps(row) for row in ROWS) + "\r\n\r\n"),
        ("a.jsonl", "\ufeff" + "\n".join(json.dumps(row) for row in ROWS)),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.json", "\ufeff" + json.dumps({"version": 1, "data": ROWS})),
        ("a.json", json.dumps({"examples": ROWS})),
        ("a.json", "\n".join(json.dumps(row) for row in ROWS)),
    ],
)
def test_json_in_every_dress(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert read_file(path) == ROWS


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_as_pandas_writes_it(tmp_path: Path, ending: str, mark: str) -> None:
    path = tmp_path / "a.csv"
    text = pd.DataFrame(ROWS).to_csv(index=False, lineterminator=ending)
    path.write_bytes((mark + text).encode())
    assert read_file(path) == ROWS


def test_parquet_as_pandas_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame(ROWS).to_parquet(path, index=False)
    assert read_file(path) == ROWS


def test_parquet_values_that_json_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    when = datetime.datetime(2024, 2, 29, 12, 30)
    pd.DataFrame({"when": [when], "raw": [b"\x00\xff"], "gap": [float("nan")], "nested": [{"a": [1, 2]}]}).to_parquet(
        path, index=False
    )
    assert read_file(path) == [{"when": "2024-02-29T12:30:00", "raw": "00ff", "gap": None, "nested": {"a": [1, 2]}}]


def test_tsv_takes_quotes_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text('sentence\tlabel\n"an open quote\t1\nit \'s " fine\t0\n')
    assert read_file(path) == [{"sentence": '"an open quote', "label": 1}, {"sentence": "it 's \" fine", "label": 0}]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "", "-3"], [1, None, -3]),
        (["1", "2.5", ""], [1.0, 2.5, None]),
        (["007", "1"], ["007", "1"]),
        (["True", "False"], [True, False]),
        (["NA", "1"], ["NA", "1"]),
        (["", ""], ["", ""]),
        (["nan", "inf"], ["nan", "inf"]),
    ],
)
def test_columns_become_numbers_only_as_a_whole(tmp_path: Path, cells: list[str], values: list[Any]) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "x"], *([f"r{i}", cell] for i, cell in enumerate(cells))])
    assert [row["x"] for row in read_file(path)] == values


def test_a_field_longer_than_the_csv_modules_own_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert len(read_file(path)[0]["text"]) == 200_000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', r"a\.jsonl:2: is not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', r"a\.jsonl:2: holds a list"),
        ("a.jsonl", b'{"a": NaN}\n', r"a\.jsonl:1: is not JSON: a: NaN is no number"),
        ("a.jsonl", b'{"a": [1e999]}\n', r"a\.jsonl:1: is not JSON: a\[0\]: 1e999 is beyond all numbers"),
        ("a.jsonl", b'{"a": "ok"}\n\n{"a": "\xff\xfe"}\n', r"a\.jsonl:3: holds bytes that are not UTF-8 \(ff fe"),
        ("a.json", b'[{"a": 1},\n {"a" 2}]', r"a\.json:2: is not JSON"),
        ("a.json", b'{"rows": []}', r"a\.json: holds an object"),
        ("a.json", b"[1, 2]", r"row 0 is a number"),
        ("a.json", b'[{"a":\n"\xe9"}]', r"a\.json:2: holds bytes"),
        ("a.json", b"[" * 100_000, r"a\.json: is not JSON|a\.json:1: is not JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", r"a\.csv:3: has 1 field; the header names 2"),
        ("a.csv", b'a,b\n1,"open\n', r"a\.csv:\d: cannot be read"),
        ("a.csv", b"a,a\n1,2\n", r"a\.csv:1: the header"),
        ("a.csv", "a\né\n".encode("latin-1"), r"a\.csv:2: holds bytes"),
        ("a.parquet", b"PAR1 but not really", r"is not Parquet"),
        ("a.jsonl", b"", "has no rows"),
        ("a.json", b"[]", "has no rows"),
        ("a.csv", b"a,b\n", "has no rows"),
        ("a.txt", b"text", "suffix '.txt'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_file(path)


@pytest.mark.fault(27)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")  # opening it would wait for a writer
    with pytest.raises(DataError, match="no regular file"):
        read_file(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="no regular file"):
        read_file(tmp_path / "folder.jsonl")
    with pytest.raises(DataError, match="does not exist"):
        read_file(tmp_path / "none.jsonl")
