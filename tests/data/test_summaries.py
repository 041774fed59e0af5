"""DialogSum, SAMSum, XSum and CNN/DailyMail as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalharness.data.grouping import group_rows
from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

Of = Callable[..., Task]
Lay = Callable[..., Path]

TALK = "#Person1#: Hello.\r\n#Person2#: Bye."
THREE = {
    "fname": "test_0",
    "dialogue": TALK,
    **{f"summary{n}": f"s{n}" for n in "123"},
    **{f"topic{n}": f"t{n}" for n in "123"},
}


def rows_of(task: Task, root: Path, split: str) -> list[dict[str, Any]]:
    return [dict(row) for row in read_rows(task, split, DataSource(root)).rows]


@pytest.mark.parametrize(
    "place",
    [
        "dialogsum/dialogsum.dev.jsonl",
        "DialogSum_Data/dialogsum.dev.jsonl",
        "DialogSum/DialogSum_Data/dialogsum.dev.jsonl",
        "dialogsum.dev.jsonl",
    ],
)
def test_dialogsum_has_the_hubs_columns(of: Of, lay: Lay, place: str) -> None:
    root = lay({place: [{"fname": "dev_0", "dialogue": TALK, "summary": "s", "topic": "t"}]})
    assert rows_of(of("knkarthick/dialogsum"), root, "validation") == [
        {"id": "dev_0", "dialogue": TALK, "summary": "s", "topic": "t"}
    ]


def test_three_summaries_are_three_rows_as_on_the_hub_and_one_example_for_the_reader_references(
    of: Of, lay: Lay
) -> None:
    task = of("knkarthick/dialogsum", metadata={"reader": "references"})
    rows = read_rows(
        task,
        "test",
        DataSource(lay({"dialogsum/dialogsum.test.jsonl": [THREE, {**THREE, "fname": "test_1", "dialogue": "other"}]})),
    )
    assert rows.rows[1] == {"id": "test_0_2", "dialogue": TALK, "summary": "s2", "topic": "t2"}
    assert len(rows.rows) == 6
    assert [row["summaries"] for row in group_rows(rows, task).rows] == [["s1", "s2", "s3"]] * 2


@pytest.mark.parametrize(
    ("place", "split"),
    [("samsum/val.json", "validation"), ("SAMSum/train.json", "train"), ("samsum-corpus/test.json", "test")],
)
def test_samsum_is_a_json_list(of: Of, lay: Lay, place: str, split: str) -> None:
    row = {"id": "13-1", "summary": "s", "dialogue": TALK}
    assert rows_of(of("knkarthick/samsum"), lay({place: [row]}), split) == [row]


@pytest.mark.parametrize(
    ("path", "config", "place", "row"),
    [
        ("EdinburghNLP/xsum", None, "XSum/val.jsonl", {"document": "d\nd", "summary": "s", "id": "1"}),
        (
            "abisee/cnn_dailymail",
            "3.0.0",
            "cnn_dailymail/validation.jsonl",
            {"article": "a", "highlights": "one\ntwo", "id": "x"},
        ),
        ("abisee/cnn_dailymail", "3.0.0", "CNN-DailyMail/val.jsonl", {"article": "a", "highlights": "h", "id": "x"}),
        ("abisee/cnn_dailymail", "3.0.0", "cnn_dm/val.jsonl", {"article": "a", "highlights": "h", "id": "x"}),
    ],
)
def test_news_as_json_lines(of: Of, lay: Lay, path: str, config: str | None, place: str, row: dict[str, str]) -> None:
    assert rows_of(of(path, config), lay({place: [row]}), "validation") == [row]


def test_news_as_pandas_writes_a_table(of: Of, lay: Lay) -> None:
    row = {"id": "a1", "article": 'He said "no".\nThen left.', "highlights": "one\ntwo"}
    root = lay({"cnn_dailymail/validation.csv": pd.DataFrame([row]).to_csv(index=False)})
    assert rows_of(of("abisee/cnn_dailymail", "3.0.0"), root, "validation") == [row]


def test_any_folder_with_a_train_file_is_not_a_data_set(of: Of, lay: Lay) -> None:
    from_elsewhere = lay({"train.json": [{"id": "1", "dialogue": "d", "summary": "s"}]})
    with pytest.raises(DataError, match=r"hub is away|cannot be loaded"):
        rows_of(of("knkarthick/samsum"), from_elsewhere, "train")
    named = DataSource(overrides={"knkarthick/samsum": from_elsewhere})
    assert len(read_rows(of("knkarthick/samsum"), "train", named).rows) == 1


@pytest.mark.parametrize(
    ("path", "place", "content", "message"),
    [
        (
            "knkarthick/dialogsum",
            "dialogsum/dialogsum.test.jsonl",
            [THREE, {**THREE, "summary2": 2}],
            r"test\.jsonl:2: 'summary2' is a number",
        ),
        (
            "knkarthick/dialogsum",
            "dialogsum/dialogsum.test.jsonl",
            [{"fname": "a", "dialogue": "x"}],
            r"test\.jsonl:1: has no 'summary'",
        ),
        (
            "knkarthick/dialogsum",
            "dialogsum/dialogsum.test.jsonl",
            [THREE, THREE],
            r"test\.jsonl:2: repeats line 1, id and all",
        ),
        (
            "knkarthick/samsum",
            "samsum/val.json",
            [{"id": "1", "dialogue": "d"}],
            r"val\.json: has no column summary .*there: id, dialogue; --columns summary=",
        ),
        (
            "knkarthick/samsum",
            "samsum/val.json",
            [{"id": "1", "dialogue": ["d"], "summary": "s"}],
            r"row 0: 'dialogue' is a list; a text",
        ),
        ("knkarthick/samsum", "samsum/val.json", b'[{"id": "1", "dialogue"', r"val\.json:1: is not JSON"),
        ("knkarthick/samsum", "samsum/val.json", b"", "has no rows"),
        (
            "EdinburghNLP/xsum",
            "xsum/test.jsonl",
            b'{"document": "\xe9", "summary": "s"}',
            r"test\.jsonl:1: holds bytes",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    of: Of, lay: Lay, path: str, place: str, content: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(of(path), lay({place: content}), "validation" if "val." in place else "test")
