"""Rows of any form to their texts, one by one, and errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from evalharness.data.streams import text_rows
from evalharness.errors import DataError


def read(path: Path) -> list[tuple[tuple[str, ...], str]]:
    return [(row.texts, row.place.replace(f"{path.parent}/", "")) for row in text_rows(path)]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_json_lines_of_any_shape(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "completion": "c"},
        {"messages": [{"role": "user", "content": "q"}], "n": 3, "none": None},
        {"deep": {"a": ["x", ["y"]]}},
    ]
    path = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + "\n\n".join(map(json.dumps, rows)).encode())
    assert read(path) == [(("p", "c"), "a.jsonl:1"), (("user", "q"), "a.jsonl:3"), (("x", "y"), "a.jsonl:5")]


def test_tables(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", 'text,label\r\n"two\nlines",1\r\nlast,\r\n')) == [
        (("text", "label"), "a.csv:1"),
        (("two\nlines", "1"), "a.csv:2"),
        (("last",), "a.csv:4"),
    ]
    assert read(write(tmp_path / "a.tsv", 'a "quote\tb\n'))[0][0] == ('a "quote', "b")
    assert read(write(tmp_path / "a.json", '[{"x": "y"}]')) == [(("y",), "a.json, row 0")]
    table = pa.table({"text": ["a", None, "b"], "chat": [[{"content": "c"}], [], None], "n": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [
        (("a", "c"), "a.parquet, row 0"),
        ((), "a.parquet, row 1"),
        (("b",), "a.parquet, row 2"),
    ]


def test_running_text_goes_on_over_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one two\nthree four\n\nfive\n" + "word " * 200 + "\nsix\n")
    found = read(path)
    assert found[:3] == [
        (("one two",), "a.txt:1"),
        (("three four", "one two three four"), "a.txt:2"),
        (("five",), "a.txt:4"),
    ]
    line, together = found[4][0]
    assert line == "six"
    assert together.endswith("word word six")
    assert len(together) <= 410


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "b" / "two.jsonl", '{"a": "2"}')
    write(tmp_path / "a.txt", "1")
    write(tmp_path / ".cache" / "x.txt", "hidden")
    write(tmp_path / "weights.bin", "0")
    assert [row.texts for row in text_rows(tmp_path)] == [("1",), ("2",)]


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "a.jsonl:2", "is not JSON"),
        ("a.jsonl", '{"a": 1}\n\n"text"\n', "a.jsonl:3", "holds a text"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "a.jsonl:2", "not UTF-8"),
        ("a.csv", "a,b\n1,2\n3\n", "a.csv:3", "has 1 fields"),
        ("a.csv", 'a,b\n1,"2\n', "a.csv:2", "cannot be read"),
        ("a.txt", b"fine\nno\xff\n", "a.txt:2", "not UTF-8"),
        ("a.parquet", "no parquet", "a.parquet", "is not Parquet"),
        ("a.bin", "x", "a.bin", "suffix '.bin'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, name: str, content: str | bytes, where: str, what: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=what) as caught:
        list(text_rows(path))
    assert str(caught.value).startswith(f"{tmp_path}/{where}: ")


def test_nothing_to_read(tmp_path: Path) -> None:
    for path, what in ((tmp_path, "holds no file of rows"), (tmp_path / "away.jsonl", "does not exist")):
        with pytest.raises(DataError, match=what):
            list(text_rows(path))
