"""A damaged store never serves a wrong answer, loses nothing that is intact, and is never deleted."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store.conftest import ANSWERS, KEYS, MODELS, another, fill

from evalharness.errors import StoreError
from evalharness.store import Store, facts, repair, verify

pytestmark = pytest.mark.fault(7)
Properties = Callable[[str, object], None]


def go_on(path: Path) -> tuple[list[str], int]:
    """Use a store as a run does: read, compute what is missing, read again. (notices, answers that were missing)"""
    notices: list[str] = []
    missing = 0
    with Store(path, notices.append) as store:
        for model in MODELS:
            served = store.read(model, "e", KEYS)
            assert all(answer == ANSWERS[key] for key, answer in served.items())
            assert store.proof(model, "e") in (None, {"score": 1.0})
            missing += len(KEYS) - len(served)
            store.add(model, "e", ANSWERS.values())
            assert store.read(model, "e", KEYS) == ANSWERS
    return notices, missing


def with_log(path: Path) -> Path:
    """A copy of the store as a kill leaves it: its second half in the log only."""
    copied = path.with_name("killed.sqlite")
    with Store(path.with_name("open.sqlite")) as store:
        store.add("m1", "e", list(ANSWERS.values())[:30])
        store._database._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fill(store)
        for ending in ("", "-wal"):
            shutil.copyfile(f"{store.path}{ending}", f"{copied}{ending}")
    return copied


def damage_and_go_on(source: Path, ending: str, change: Callable[[bytearray], None], number: int) -> int:
    """Damage a copy of a file, go on with it, and repair what is left; how many answers were missing."""
    place = source.with_name(f"damaged{number}.sqlite")
    for each in ("", "-wal"):
        if (original := Path(f"{source}{each}")).exists():
            shutil.copyfile(original, f"{place}{each}")
    content = bytearray(Path(f"{place}{ending}").read_bytes())
    change(content)
    Path(f"{place}{ending}").write_bytes(content)
    notices, missing = go_on(place)
    aside = place.with_name(f"{place.name}.damaged-1")
    assert aside.exists() == bool(notices)
    repair(place, notices.append)
    assert verify(place)[0] == 0
    return missing


def flip(rng: random.Random, head: bool) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[rng.randrange(100 if head else len(content))] ^= rng.randrange(1, 256)

    return change


def flips(path: Path, count: int, seed: int) -> None:
    rng, killed = random.Random(seed), with_log(path)
    missing = 0
    for number in range(count):
        source, ending = ((path, ""), (path, ""), (killed, ""), (killed, "-wal"))[number % 4]
        missing += damage_and_go_on(source, ending, flip(rng, head=number % 8 == 0), number)
    assert missing > 0  # some of it hit answers


def test_a_flipped_byte_anywhere_serves_nothing_wrong(path: Path, record_property: Properties) -> None:
    record_property("injected", 48)
    flips(path, 48, seed=1)


@pytest.mark.slow
def test_a_thousand_flipped_bytes(path: Path, record_property: Properties) -> None:
    record_property("injected", 1000)
    flips(path, 1000, seed=2)


def test_every_flip_in_an_answer_is_detected(path: Path, record_property: Properties) -> None:
    content, rng = path.read_bytes(), random.Random(3)
    start = content.index(b'"text": "text 41 xxx')
    record_property("injected", 12)
    for number in range(12):
        place = start + rng.randrange(60)

        def change(some: bytearray, place: int = place) -> None:
            some[place] ^= rng.randrange(1, 256)

        assert damage_and_go_on(path, "", change, number) == 1


def test_lost_pages_cost_what_stood_on_them(path: Path, record_property: Properties) -> None:
    pages = path.stat().st_size // 4096
    record_property("injected", pages)
    for page in range(pages):

        def change(some: bytearray, page: int = page) -> None:
            some[page * 4096 : (page + 1) * 4096] = bytes(4096)

        assert damage_and_go_on(path, "", change, page) < 120 or page < 4  # heads of tables lose all


def test_truncated_files_and_logs_lose_the_end_only(path: Path, record_property: Properties) -> None:
    rng, killed = random.Random(4), with_log(path)
    record_property("injected", 15)
    for number in range(15):
        source, ending = ((path, ""), (killed, "-wal"), (killed, "-wal"))[number % 3]

        def change(some: bytearray) -> None:
            del some[rng.randrange(512, len(some)) :]

        damage_and_go_on(source, ending, change, number)


def test_an_emptied_file_begins_anew_and_its_log_is_kept(path: Path) -> None:
    killed = with_log(path)
    log = Path(f"{killed}-wal").read_bytes()
    killed.write_bytes(b"")
    notices, missing = go_on(killed)
    assert missing == 120 and "set aside as killed.sqlite.damaged-1" in notices[0]
    assert Path(f"{killed}.damaged-1-wal").read_bytes() == log
    path.write_bytes(b"")
    assert go_on(path) == ([], 120)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answers SET body = CAST(X'ff00fe' AS TEXT) WHERE request = 'r007'",
        "UPDATE answers SET body = CAST(body AS BLOB) WHERE request = 'r007'",
        "UPDATE answers SET digest = 17 WHERE request = 'r007'",
        "UPDATE answers SET body = '{}' WHERE request = 'r007'",
        "UPDATE answers SET request = CAST(X'ff' AS TEXT) WHERE request = 'r007'",
        "DELETE FROM uses; UPDATE proofs SET body = X'ff'",
        "UPDATE uses SET first = 'x', last = X'ff', name = CAST(X'ff' AS TEXT)",
    ],
)
def test_a_row_of_anything_costs_no_other(path: Path, change: str) -> None:
    db = sqlite3.connect(path)
    db.executescript(change)
    db.close()
    assert facts(path).answers == 120
    notices, missing = go_on(path)
    assert not notices and missing == ("answers" in change) * 2
    assert facts(path).quarantined == (2 if "answers" in change and "SET request" not in change else 0)


def test_what_is_set_aside_is_said_and_kept(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="--repair"):
        facts(path)
    notices, missing = go_on(path)
    assert missing == 120  # SQLite reads nothing of it
    assert notices == [
        f"{path}: was damaged (file is not a database) and set aside as store.sqlite.damaged-1; "
        "0 answers of it were carried over, others are computed again"
    ]
    assert facts(path).set_aside == (path.with_name("store.sqlite.damaged-1"),)
    assert facts(path).set_aside[0].read_bytes() == content


def test_damage_in_the_midst_of_a_run_is_survived(path: Path) -> None:
    notices: list[str] = []
    with Store(path, notices.append) as store:
        store.read("m1", "e", KEYS[:1])
        with path.open("r+b") as file:
            for page in range(5, path.stat().st_size // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 8)
        store.add("m2", "e", ANSWERS.values())
        assert store.read("m2", "e", KEYS) == ANSWERS
    assert "set aside" in notices[0]


def test_a_damaged_store_that_another_uses_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalharness.store.damage.WAIT", 0.1)
    with another(lambda: Store(path)):
        with path.open("r+b") as file:
            file.seek(68)
            file.write(b"X")
        content = path.read_bytes()
        with pytest.raises(StoreError, match="another process is using it"):
            Store(path)
        assert path.read_bytes() == content
    assert go_on(path)[1] == 0
