"""What is remembered from run to run is given back as long as nothing changed, and never otherwise: files written in
place with size and time restored, files written a moment ago, file systems of other machines, damaged memories.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness import fingerprint as content
from evalharness.checkpoints import conclusions, fingerprint, memory

KEY = ["what", 1]


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are at rest as soon as they are written."""
    monkeypatch.setattr(memory, "AT_REST", 0)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are hashed."""
    read: list[Path] = []

    def of_file(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(content, "of_file", of_file)
    return read


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """The digest as another process finds it that remembers in the same file."""

    def found_by_another(path: Path) -> str:
        monkeypatch.setattr(fingerprint, "_digests", {})
        with memory.remember_in(tmp_path / "memory"):
            return fingerprint.of_file(path)

    return found_by_another


def test_a_file_at_rest_is_hashed_once(tmp_path, at_rest, readings, digest) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert digest(path) == digest(path) == hashlib.sha256(b"one").hexdigest()
    assert len(readings) == 1
    (tmp_path / "memory").unlink()
    assert digest(path) == hashlib.sha256(b"one").hexdigest() and len(readings) == 2


def test_a_file_written_in_place_is_hashed_again_though_size_and_time_are_restored(tmp_path, at_rest, digest) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = digest(path)
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert digest(path) == hashlib.sha256(b"two").hexdigest() != before


def test_a_file_written_a_moment_ago_is_not_remembered(tmp_path, readings, digest) -> None:
    (tmp_path / "weights").write_bytes(b"one")
    digest(tmp_path / "weights")
    digest(tmp_path / "weights")
    assert len(readings) == 2


@pytest.mark.parametrize(("system", "times"), [("nfs4", 2), ("fuse.sshfs", 2), ("ext4", 1)])
def test_only_what_lies_on_this_machine_is_remembered(
    system, times, tmp_path, at_rest, readings, digest, monkeypatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/x rw\n2 1 0:9 / {tmp_path} rw shared:1 - {system} server:/x rw\n")
    monkeypatch.setattr(memory, "MOUNTS", mounts)
    memory._mounts.cache_clear()
    (tmp_path / "weights").write_bytes(b"one")
    digest(tmp_path / "weights")
    digest(tmp_path / "weights")
    memory._mounts.cache_clear()
    assert len(readings) == times


def test_what_must_be_read_afresh_is_not_remembered(tmp_path, at_rest, readings, digest) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    digest(path)
    with memory.remember_in(tmp_path / "memory"):
        with fingerprint.unchanged([path]):
            pass
        fingerprint.of_file(path)
    assert len(readings) == 2


def spoilt(path: Path) -> None:
    path.write_bytes(b"no database " * 400)


def value_changed(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("UPDATE known SET value='\"another\"'")
    file.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [spoilt, value_changed, cut])
def test_a_damaged_memory_knows_nothing_and_the_next_one_is_whole(damage, tmp_path) -> None:
    path = tmp_path / "memory"
    first = memory.Memory(path)
    first.keep(KEY, "value")
    assert first.recall(KEY) == "value"
    first.close()
    damage(path)
    second = memory.Memory(path)
    assert second.recall(KEY) is None
    second.keep(KEY, "again")
    second.close()
    third = memory.Memory(path)
    third.keep(KEY, "again")
    assert third.recall(KEY) == "again"
    third.close()


def test_where_no_memory_can_be_kept_nothing_is_remembered_and_nothing_fails(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = memory.Memory(tmp_path / "file" / "memory")
    nowhere.keep(KEY, 1)
    assert nowhere.recall(KEY) is None
    nowhere.close()


def test_two_at_once_remember_in_one_file(tmp_path) -> None:
    one, other = memory.Memory(tmp_path / "memory"), memory.Memory(tmp_path / "memory")
    one.keep(["a"], 1)
    other.keep(["b"], 2)
    assert [each.recall(key) for each in (one, other) for key in (["a"], ["b"])] == [1, 2, 1, 2]
    one.close()
    other.close()


def test_the_oldest_are_forgotten(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "MOST", 2)
    first = memory.Memory(tmp_path / "memory")
    for number in range(5):
        first.keep([number], number)
    first.close()
    again = memory.Memory(tmp_path / "memory")
    assert [again.recall([number]) for number in range(5)] == [None, None, None, 3, 4]
    again.close()


def test_what_is_concluded_hangs_on_content_on_what_is_given_and_on_libraries(tmp_path, at_rest, monkeypatch) -> None:
    path, numbers = tmp_path / "file", itertools.count(1)
    path.write_text("one")

    def concluded(given: object = None) -> object:
        with memory.remember_in(tmp_path / "memory"):
            return conclusions.conclude_once("number", [path], given, lambda: next(numbers))

    assert [concluded(), concluded(), concluded("more")] == [1, 1, 2]
    path.write_text("another")
    assert [concluded(), concluded()] == [3, 3]
    monkeypatch.setattr(conclusions, "_versions", lambda: ["torch 99"])
    assert concluded() == 4


def test_a_file_written_while_it_is_concluded_from_leaves_no_conclusion(tmp_path, at_rest) -> None:
    path, answers = tmp_path / "file", iter(["of the first", "of the second"])
    path.write_text("one")

    def conclude() -> str:
        path.write_text("two")
        return next(answers)

    with memory.remember_in(tmp_path / "memory"):
        first = conclusions.conclude_once("content", [path], None, conclude)
        path.write_text("one")
        assert [first, conclusions.conclude_once("content", [path], None, conclude)] == [
            "of the first",
            "of the second",
        ]


def test_what_raises_is_tried_again(tmp_path, at_rest) -> None:
    with memory.remember_in(tmp_path / "memory"):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                conclusions.conclude_once("nothing", [], None, lambda: 1 / 0)
