"""Where a store cannot be, or cannot be used: said at once, in one line, and what is there stays as it is."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store.conftest import ANSWERS, KEYS, another, in_a_child
from store.system_calls import failing, library

from evalharness.errors import StoreError
from evalharness.paths import default_store
from evalharness.records.requests import Generation
from evalharness.store import Store, check, facts, schema
from evalharness.store.database import transaction

NOBODY = 65534


def both_say(path: Path, words: str) -> None:
    """A run says it before any model is opened, and again when it opens the store."""
    for use in (check, Store, facts):
        with pytest.raises(StoreError, match=words):
            use(path)


@pytest.mark.fault(7)
def test_another_programs_database_is_left_alone(folder: Path) -> None:
    path = folder / "places.sqlite"
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE answers (id, text); CREATE TABLE moz_places (url); PRAGMA user_version=1")
    db.close()
    content = path.read_bytes()
    both_say(path, "a database of another program, with tables answers, moz_places; name another with --store")
    assert path.read_bytes() == content and [file.name for file in folder.iterdir()] == ["places.sqlite"]


@pytest.mark.fault(7)
def test_a_text_file_is_left_alone(folder: Path) -> None:
    path = folder / "notes.txt"
    path.write_text('{"request_id": "PRIMARY KEY (model, engine"}\n' * 400)
    content = path.read_bytes()
    both_say(path, "file is not a database; name another")
    assert path.read_bytes() == content and [file.name for file in folder.iterdir()] == ["notes.txt"]


@pytest.mark.fault(6)
def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "circle").symlink_to(folder / "circle")
    for path, words in {
        folder: "a folder",
        Path("/dev/null"): "a device",
        folder / "pipe": "a device",
        folder / "circle": "circle|symbolic links",
        folder / ("x" * 300): "too long",
    }.items():
        both_say(path, words)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(folder / "pipe" / "store.sqlite")


@pytest.mark.fault(7)
def test_a_later_version_is_refused_by_name(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript(f"PRAGMA user_version=7; PRAGMA application_id={schema.MARK + 7}; CREATE TABLE more (x)")
    db.close()
    content = path.read_bytes()
    both_say(path, "store of version 7, this evalharness reads up to 2; name another with --store")
    assert path.read_bytes() == content


@pytest.mark.fault(6)
@pytest.mark.skipif(os.geteuid() != 0, reason="rights of another user are needed")
def test_a_read_only_store_can_be_looked_at_and_not_be_used(path: Path) -> None:
    os.chmod(path.parent, 0o755)
    os.chmod(path, 0o644)

    def use(action: Callable[[Path], object]) -> Callable[[], None]:
        def as_nobody() -> None:
            os.setuid(NOBODY)
            action(path)

        return as_nobody

    def look(path: Path) -> None:
        assert facts(path).answers == 120

    assert in_a_child(use(look)) == ""
    for action in (check, Store):
        assert "StoreError" in (said := in_a_child(use(action))) and "--store" in said

    def add(path: Path) -> None:
        with Store(path) as store:
            store.add("m3", "e", ANSWERS.values())

    os.chmod(path.parent, 0o777)
    for action in (check, add):
        assert "readonly" in (said := in_a_child(use(action))) and "that can be written with --store" in said


@pytest.mark.fault(8)
def test_a_store_that_another_keeps_locked_is_said_to_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalharness.store.database.BUSY_MS", 20)

    def locked() -> object:
        db = sqlite3.connect(path, isolation_level=None)
        return transaction(db)

    with another(locked):  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="locked; another process holds it: wait until that has ended"):
            check(path)
        with Store(path) as store:
            assert store.read("m1", "e", KEYS) == ANSWERS
            with pytest.raises(StoreError, match="another process holds it"):
                store.add("m3", "e", ANSWERS.values())
        assert facts(path).answers == 120
    with Store(path) as store:
        store.add("m3", "e", ANSWERS.values())


@pytest.mark.fault(9)
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(StoreError, match=r"cannot lock files .*; name a store on a local disk with --store"):
        Store(folder / "store.sqlite")
    assert not list(folder.iterdir())


@pytest.mark.fault(9)
@pytest.mark.skipif(library() is None, reason="Python's SQLite is no shared library")
@pytest.mark.parametrize("number", [errno.EIO, errno.EOPNOTSUPP, errno.EINVAL])
def test_locks_that_fail_inside_sqlite_are_refused(path: Path, number: int) -> None:
    with failing(number, b"fcntl"):
        for use in (Store, check):
            with pytest.raises(StoreError, match="--store"):
                use(path)
    with Store(path) as store:
        assert store.read("m1", "e", KEYS) == ANSWERS


@pytest.mark.fault(9)
def test_on_a_network_file_system_no_log_is_shared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = path.with_name("mounts")
    mounts.write_text(f"a / ext4 rw 0 0\nhost:/home {path.parent} nfs4 rw 0 0\n")
    monkeypatch.setattr("evalharness.store.database.MOUNTS", mounts)
    notices: list[str] = []
    with Store(path, notices.append) as store:
        store.add("m3", "e", ANSWERS.values())
        assert not Path(f"{path}-wal").exists()
    assert notices == [f"{path}: on nfs4, where a log cannot be shared: written with a rollback journal"]
    assert facts(path).answers == 180


def overfill(store: Store) -> None:
    for number in range(1000):
        text = "x" * 2000
        store.add("big", "e", [Generation(request_id=f"{number}", text=text, finish_reason="stop", tokens=1)])


@pytest.mark.fault(5)
def test_files_that_may_not_grow_keep_what_was_acknowledged(path: Path) -> None:
    def filled() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        with Store(path) as store:
            overfill(store)

    said = in_a_child(filled)
    assert "cannot be written" in said and "free some space" in said and "earlier answers are kept" in said
    count = facts(path).answers
    assert count > 120 and facts(path).damaged == 0
    with Store(path) as store:
        assert store.read("m1", "e", KEYS) == ANSWERS
        store.add("m3", "e", ANSWERS.values())
    assert facts(path).answers == count + 60


@pytest.mark.fault(5)
@pytest.mark.skipif(library() is None, reason="Python's SQLite is no shared library")
def test_a_disk_that_is_full_is_said_to_be_and_keeps_everything(path: Path) -> None:
    with Store(path) as store:
        with (
            failing(errno.ENOSPC, b"write", b"pwrite", b"pwrite64"),
            pytest.raises(StoreError, match="full; free some space and run again"),
        ):
            overfill(store)
        assert store.read("m1", "e", KEYS) == ANSWERS
        store.add("m3", "e", ANSWERS.values())
    assert facts(path).answers == 180


@pytest.mark.fault(6)
@pytest.mark.skipif(os.geteuid() != 0, reason="a user without an entry is needed")
def test_without_a_home_the_error_says_what_would_do(folder: Path) -> None:
    def asked() -> None:
        os.environ.pop("HOME", None)
        os.setuid(54321)  # who has no entry
        default_store({})

    said = in_a_child(asked)
    assert said.startswith("StoreError: store: this user has no home directory") and "EVALHARNESS_STORE" in said
