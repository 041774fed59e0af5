"""Where the rows of a task come from, in which order, and what is said when they are nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalharness.data.digest import digest_of
from evalharness.data.grouping import group_rows
from evalharness.data.sources import DataSource, check_overrides, locate, missing, read_rows
from evalharness.errors import DataError, UsageError
from evalharness.records.tasks import Task
from evalharness.tasks.spec import task_from

Make = Callable[..., Task]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(**changes: Any) -> Task:
        (tmp_path / "defs").mkdir(exist_ok=True)
        base = {
            "task": "mine",
            "dataset_path": "who/what",
            "dataset_name": "part",
            "test_split": "test",
            "doc_to_text": "q",
            "doc_to_target": "a",
        }
        return task_from({**base, **changes}, tmp_path / "defs" / "mine.yaml")

    return make


def write(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"q": text}) + "\n" for text in texts))
    return path


def first(task: Task, source: DataSource, split: str = "test") -> str:
    return str(read_rows(task, split, source).rows[0]["q"])


@pytest.mark.parametrize("place", ["who/what/part/test.jsonl", "mine/test.jsonl", "what/part/test.jsonl"])
def test_layouts_of_a_data_folder(tmp_path: Path, make: Make, place: str) -> None:
    write(tmp_path / "data" / place, "found")
    assert first(make(), DataSource(tmp_path / "data")) == "found"


@pytest.mark.parametrize(
    "place", ["who/what/default/test.jsonl", "who/what/test.jsonl", "what/default/test.jsonl", "what/test.jsonl"]
)
def test_layouts_without_a_dataset_name(tmp_path: Path, make: Make, place: str) -> None:
    write(tmp_path / "data" / place, "found")
    assert first(make(dataset_name=None), DataSource(tmp_path / "data")) == "found"


def test_pieces_as_the_hub_stores_them_are_read_in_order(tmp_path: Path, make: Make) -> None:
    folder = tmp_path / "who/what/part"
    folder.mkdir(parents=True)
    for number in (1, 0):
        pd.DataFrame({"q": [f"row {number}"]}).to_parquet(folder / f"test-0000{number}-of-00002.parquet", index=False)
    pd.DataFrame({"q": ["another split"]}).to_parquet(folder / "test_matched-00000-of-00001.parquet", index=False)
    rows = read_rows(make(), "test", DataSource(tmp_path))
    assert [row["q"] for row in rows.rows] == ["row 0", "row 1"]


def test_the_order_is_override_folder_shipped(tmp_path: Path, make: Make) -> None:
    override = write(tmp_path / "own.jsonl", "override")
    write(tmp_path / "data/mine/test.jsonl", "folder")
    write(tmp_path / "shipped/who/what/part/test.jsonl", "shipped")
    for name in ("mine", "who/what", "who/what/part"):
        assert first(make(), DataSource(tmp_path / "data", {name: override}, tmp_path / "shipped")) == "override"
    assert first(make(), DataSource(tmp_path / "data", {"other": override}, tmp_path / "shipped")) == "folder"
    assert first(make(), DataSource(None, {}, tmp_path / "shipped")) == "shipped"


def test_an_override_is_a_file_for_every_split_or_a_folder_of_splits(tmp_path: Path, make: Make) -> None:
    one = write(tmp_path / "one.jsonl", "one file")
    assert first(make(), DataSource(overrides={"mine": one}), "train") == "one file"
    write(tmp_path / "folder/part/test.jsonl", "in the folder")
    assert first(make(), DataSource(overrides={"mine": tmp_path / "folder"})) == "in the folder"
    with pytest.raises(DataError, match="no split 'train'"):
        read_rows(make(), "train", DataSource(overrides={"mine": tmp_path / "folder"}))
    with pytest.raises(DataError, match="does not exist"):
        read_rows(make(), "test", DataSource(overrides={"mine": tmp_path / "gone.jsonl"}))


def test_an_override_goes_to_a_task_or_its_data_set(tmp_path: Path, make: Make) -> None:
    for name in ("mine", "who/what", "who/what/part"):
        check_overrides([make()], DataSource(overrides={name: tmp_path}))
    with pytest.raises(UsageError, match="'mien'; did you mean mine"):
        check_overrides([make()], DataSource(overrides={"mien": tmp_path}))


def test_a_folder_without_the_split_is_an_error_and_no_search_elsewhere(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "data/who/what/part/validation.jsonl", "x")
    write(tmp_path / "shipped/who/what/part/test.jsonl", "shipped")
    with pytest.raises(DataError, match=r"no split 'test' for mine; splits there: validation"):
        read_rows(make(), "test", DataSource(tmp_path / "data", {}, tmp_path / "shipped"))


def test_two_files_for_one_split_are_refused(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "mine/test.jsonl", "x")
    write(tmp_path / "mine/test.json", "x")
    with pytest.raises(DataError, match=r"test\.json and test\.jsonl"):
        read_rows(make(), "test", DataSource(tmp_path))


@pytest.mark.parametrize("split", ["../secret", "a/b", "..", "a\\b", ""])
def test_a_split_is_a_plain_name(make: Make, split: str) -> None:
    with pytest.raises(DataError, match="no name of a split"):
        locate(make(), split, DataSource())


def test_a_dataset_path_cannot_leave_the_data_folder(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "outside/default/test.jsonl", "outside")
    (tmp_path / "data").mkdir()
    assert (
        locate(make(dataset_path="../../elsewhere/outside", dataset_name=None), "test", DataSource(tmp_path / "data"))
        is None
    )


def test_data_files_as_lm_eval_has_them(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "defs/rows.jsonl", "beside the task file")
    write(tmp_path / "defs/more.jsonl", "more")
    named = make(
        dataset_path="json",
        dataset_name=None,
        dataset_kwargs={"data_files": {"test": "rows.jsonl", "train": ["rows.jsonl", "more.jsonl"]}},
    )
    assert first(named, DataSource()) == "beside the task file"
    assert len(read_rows(named, "train", DataSource()).rows) == 2
    plain = make(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": "*.jsonl"})
    assert len(read_rows(plain, "train", DataSource()).rows) == 2
    with pytest.raises(DataError, match="no split 'test'"):
        read_rows(plain, "test", DataSource())
    remote = make(
        dataset_path="csv", dataset_name=None, dataset_kwargs={"data_files": {"test": "https://example.org/a.csv"}}
    )
    with pytest.raises(DataError, match="local file"):
        read_rows(remote, "test", DataSource())


def test_a_dataset_path_may_be_a_folder_beside_the_task_file(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "defs/local/test.jsonl", "local")
    assert first(make(dataset_path="local", dataset_name=None), DataSource()) == "local"


def test_the_digest_is_of_content_and_order_alone(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "a/mine/test.jsonl", "x", "y")
    (tmp_path / "b/mine").mkdir(parents=True)
    (tmp_path / "b/mine/test.json").write_text(json.dumps([{"q": "x"}, {"q": "y"}]))
    write(tmp_path / "c/mine/test.jsonl", "y", "x")
    a, b, c = (read_rows(make(), "test", DataSource(tmp_path / name)) for name in "abc")
    assert a.digest == b.digest != c.digest
    assert a.origin != b.origin


@pytest.mark.fault(18)
def test_half_a_character_is_refused() -> None:
    with pytest.raises(DataError, match="row 1 holds half a character"):
        digest_of([{"q": "fine"}, {"q": "\ud800"}], "here")


def test_references_of_one_dialogue_become_one_row(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"dialogue": d, "summary": s} for d, s in [("A", "1"), ("B", "2"), ("A", "3")]]))
    task = make(metadata={"reader": "references"})
    source = DataSource(overrides={"mine": path})
    rows = group_rows(read_rows(task, "test", source), task)
    assert [(row["dialogue"], row["summaries"]) for row in rows.rows] == [("A", ["1", "3"]), ("B", ["2"])]
    with pytest.raises(DataError, match="needs the column 'dialogue'"):
        path.write_text('[{"summary": "x"}]')
        group_rows(read_rows(task, "test", source), task)


def test_missing_names_nothing_where_all_is_at_hand(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "mine/test.jsonl", "x")
    assert missing([make()], DataSource(tmp_path)) is None
    other = replace(make(), evaluation_split="validation")
    error = missing([make(), other], DataSource(tmp_path))
    assert error is not None and "no split 'validation'" in str(error)
