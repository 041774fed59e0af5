"""The lock file by itself; test_hub.py has it together with a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.data.lock import LOCK, Lock, default_lock, key_of
from evalharness.errors import DataError, UsageError
from evalharness.records.tasks import Task

Of = Callable[..., Task]

WRONG = (
    "[]",
    '{"a": {}}',
    '{"a": {"revision": 1, "splits": {}}}',
    '{"a": {"splits": {"b": []}}}',
    '{"a": {"splits": {"b": {"test": {}}}}}',
)


def test_the_first_reading_is_recorded_and_the_same_again_changes_nothing(of: Of, tmp_path: Path) -> None:
    path, task = tmp_path / "new" / LOCK, of("who/what", "part")
    assert Lock(path).revision(task) is None
    Lock(path).settle(task, "test", "c0ffee", 3, "d1")
    before = path.read_bytes()
    Lock(path).settle(task, "test", "c0ffee", 3, "d1")
    Lock(path).settle(task, "test", None, 3, "d1")  # the cache does not say which commit it has
    assert path.read_bytes() == before
    assert Lock(path).revision(task) == "c0ffee"
    Lock(path).settle(of("who/what"), "train", "c0ffee", 9, "d2")
    recorded = json.loads(path.read_text())["data_sets"]["who/what"]
    assert recorded == {
        "revision": "c0ffee",
        "splits": {"part": {"test": {"rows": 3, "sha256": "d1"}}, "default": {"train": {"rows": 9, "sha256": "d2"}}},
    }


def test_other_rows_are_refused_with_both_digests_until_they_are_accepted(of: Of, tmp_path: Path) -> None:
    path, task = tmp_path / LOCK, of("who/what", "part")
    Lock(path).settle(task, "test", "c0ffee", 3, "1" * 64)
    told = r"4 with digest 2{16}….* has 3 with 1{16}… \(commit c0ffee\); .*data accept who/what"
    with pytest.raises(DataError, match=told):
        Lock(path).settle(task, "test", "c0ffee", 4, "2" * 64)
    assert Lock(path).forget(["who/what"]) == ["who/what"]
    Lock(path).settle(task, "test", "c0ffee", 4, "2" * 64)
    with pytest.raises(UsageError, match="did you mean who/what"):
        Lock(path).forget(["who/waht"])


@pytest.mark.fault(37)
def test_what_others_recorded_since_it_was_read_is_kept(of: Of, tmp_path: Path) -> None:
    path = tmp_path / LOCK
    first, second = Lock(path), Lock(path)
    first.settle(of("a/a"), "test", "c0ffee", 3, "d1")
    second.settle(of("b/b"), "test", "c0ffee", 3, "d2")
    assert Lock(path).names() == {"a/a", "b/b"}
    with pytest.raises(DataError, match="other rows than before"):
        second.settle(of("a/a"), "test", "c0ffee", 3, "d3")
    first.forget(["a/a"])
    second.settle(of("c/c"), "test", "c0ffee", 3, "d4")
    assert Lock(path).names() == {"b/b", "c/c"}
    assert [each.name for each in tmp_path.iterdir()] == [LOCK]


@pytest.mark.fault(37)
def test_two_processes_lose_no_entry(of: Of, tmp_path: Path) -> None:
    children = []
    for name in "ab":
        if not (child := os.fork()):
            try:
                for number in range(20):
                    Lock(tmp_path / LOCK).settle(of(f"{name}/{number}"), "test", None, 3, "d")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert len(Lock(tmp_path / LOCK).names()) == 40


def test_a_task_that_asks_for_a_revision_has_an_entry_of_its_own(of: Of) -> None:
    assert key_of(of("who/what", dataset_kwargs={"revision": "v2"})) == "who/what@v2"


def test_the_lock_file_lies_here_if_there_is_one_here_else_beside_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_lock(tmp_path / "cache" / "store.sqlite") == tmp_path / "cache" / LOCK
    Path(LOCK).write_text("{}")
    assert default_lock(tmp_path / "cache" / "store.sqlite") == Path(LOCK)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "\x00",
        '{"version": 9, "data_sets": {}}',
        *(f'{{"version": 1, "data_sets": {sets}}}' for sets in WRONG),
    ],
)
def test_what_is_no_lock_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / LOCK
    path.write_text(text)
    with pytest.raises(DataError, match=LOCK):
        Lock(path)


def test_a_lock_file_that_cannot_be_written_is_named(of: Of, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write here"):
        Lock(tmp_path / "file" / LOCK).settle(of("who/what"), "test", None, 1, "d")
