"""A fetched folder and its manifest, from rows in files; test_hub.py fetches from a hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.data.fetch import MANIFEST, fetch, manifest, splits_to_fetch, verify
from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

Of = Callable[..., Task]
Lay = Callable[..., Path]

ROWS = [{"premise": "naïve \u2028 東京", "hypothesis": "h", "idx": idx, "label": "entailment"} for idx in range(2)]
CHANGES = {"training_split": "train", "validation_split": "validation", "metadata": {"licence": "CC0"}}


@pytest.fixture
def source(lay: Lay) -> DataSource:
    return DataSource(
        lay({"superglue/RTE/val.jsonl": ROWS, "superglue/RTE/train.jsonl": ROWS, "superglue/RTE/test.jsonl": ROWS})
    )


@pytest.fixture
def task(of: Of) -> Task:
    return replace(of("aps/super_glue", "rte", **CHANGES), evaluation_split="validation")


def filled(task: Task, source: DataSource, folder: Path, update: bool = False) -> list[bool]:
    return [fetch(each, source, folder, update)[1] for each in splits_to_fetch([task])]


def test_splits_that_a_task_uses_each_once(of: Of) -> None:
    task = of("who/what", "part", training_split="train", fewshot_split="dev")
    assert [(each.split, each.use) for each in splits_to_fetch([task, task])] == [
        ("test", "evaluation"),
        ("dev", "shots"),
    ]
    assert [each.split for each in splits_to_fetch([task], training=True)] == ["test", "dev", "train"]
    assert [(each.file, each.use) for each in splits_to_fetch([task], ["train"])] == [
        ("who/what/part/train.jsonl", "asked for")
    ]
    assert next(each.file for each in splits_to_fetch([of("who/what")])) == "who/what/default/test.jsonl"
    for path in ("json", "/absolute", "../above"):
        assert splits_to_fetch([of(path)]) == []


def test_published_files_become_the_hubs_layout_with_the_same_rows(
    task: Task, source: DataSource, tmp_path: Path
) -> None:
    folder = tmp_path / "fetched"
    assert filled(task, source, folder) == [True, True]
    for split in ("validation", "train"):
        before, after = read_rows(task, split, source), read_rows(task, split, DataSource(folder))
        assert (after.rows, after.digest) == (before.rows, before.digest)
    first = next(entry for entry in manifest(folder) if entry.split == "validation")
    data = (folder / first.file).read_bytes()
    assert first.file == "aps/super_glue/rte/validation.jsonl"
    assert (first.rows, first.licence, first.revision, first.sha256) == (
        2,
        "CC0",
        None,
        hashlib.sha256(data).hexdigest(),
    )
    assert verify(folder) == (manifest(folder), [])


def test_what_is_there_is_kept_and_never_written_over_unasked(
    task: Task, source: DataSource, tmp_path: Path, lay: Lay
) -> None:
    folder = tmp_path / "fetched"
    assert filled(task, source, folder) == [True, True]
    lay({"superglue/RTE/val.jsonl": ROWS[:1]})
    assert filled(task, source, folder) == [False, False]
    assert filled(task, source, folder, update=True) == [True, True]
    path = folder / "aps/super_glue/rte/validation.jsonl"
    assert path.read_text().count("\n") == 1
    path.write_text("edited by hand\n")
    with pytest.raises(DataError, match=r"validation\.jsonl: is not the file that MANIFEST\.json tells of; .*--update"):
        filled(task, source, folder)
    assert path.read_text() == "edited by hand\n"


def test_a_strangers_file_is_not_written_over_even_with_update(task: Task, source: DataSource, tmp_path: Path) -> None:
    path = tmp_path / "fetched/aps/super_glue/rte/validation.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    for update in (False, True):
        with pytest.raises(DataError, match="is there already, and not in the manifest"):
            filled(task, source, tmp_path / "fetched", update)
    assert path.read_text() == "mine\n"


def test_a_fetch_that_was_cut_off_goes_on(task: Task, source: DataSource, tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    filled(task, source, folder)
    (folder / "aps/super_glue/rte/train.jsonl").unlink()  # the manifest is written before the file
    assert filled(task, source, folder) == [False, True]
    assert verify(folder)[1] == []


def test_verify_names_what_is_missing_changed_and_extra(task: Task, source: DataSource, tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    filled(task, source, folder)
    (folder / "aps/super_glue/rte/train.jsonl").unlink()
    with (folder / "aps/super_glue/rte/validation.jsonl").open("a") as file:
        file.write("\n")
    (folder / "notes.txt").write_text("x")
    right, faults = verify(folder)
    assert right == []
    assert {(fault.file.rpartition("/")[2], fault.what) for fault in faults} == {
        ("train.jsonl", "missing"),
        ("validation.jsonl", "changed"),
        ("notes.txt", "extra"),
    }


def test_a_folder_without_a_manifest_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no MANIFEST\.json"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"file": "../outside"}, {"file": "/etc/passwd"}, {"rows": "2"}, {"revision": 1}, {"more": 1}, {"sha256": None}],
)
def test_what_is_no_manifest_is_refused(
    task: Task, source: DataSource, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "fetched"
    filled(task, source, folder)
    document = json.loads((folder / MANIFEST).read_text())
    document["files"][0] |= change
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(DataError, match="is no manifest of version 1"):
        verify(folder)
