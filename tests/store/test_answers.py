"""The store keeps every answer under the right model, and never serves a damaged one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from evalharness.errors import StoreError
from evalharness.records.requests import Generation, Ranking, Scoring
from evalharness.store import Store, facts
from evalharness.store.schema import MARK


def ranking(key: str, logprob: float = -1.5) -> Ranking:
    return Ranking(request_id=key, logprobs=(logprob, -2.25), tokens=(1, 2), greedy=(True, False))


def test_answers_come_back_as_they_went_in(tmp_path: Path) -> None:
    answers = [
        ranking("a", -0.1 - 0.2),
        Generation(request_id="b", text="naïve\n\x00\ud800"[:-1] + "😀", finish_reason="stop", tokens=3),
        Generation(request_id="c", text="", finish_reason="eos", tokens=0),
    ]
    answers += [Scoring(request_id="d", logprob=-0.1 - 0.2, tokens=3), Scoring(request_id="e", logprob=0.0, tokens=0)]
    with Store(tmp_path / "deep" / "store.sqlite") as store:
        store.add("m", "e", answers)
        assert store.read("m", "e", ["a", "b", "c", "d", "e", "absent"]) == {a.request_id: a for a in answers}


@pytest.mark.fault(11)
def test_another_model_or_engine_is_never_served(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.add("model", "engine", [ranking("a")])
        assert store.read("model2", "engine", ["a"]) == {}
        assert store.read("model", "engine2", ["a"]) == {}


def test_the_first_answer_wins(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.add("m", "e", [ranking("a", -1.0)])
        store.add("m", "e", [ranking("a", -9.0), ranking("b", -3.0)])
        found = store.read("m", "e", ["a", "b"])
    assert found["a"] == ranking("a", -1.0)
    assert found["b"] == ranking("b", -3.0)


def test_many_requests_are_read_at_once(tmp_path: Path) -> None:
    keys = [f"r{i}" for i in range(1703)]
    with Store(tmp_path / "s") as store:
        store.add("m", "e", [ranking(key) for key in keys])
        assert store.read("m", "e", keys).keys() == set(keys)
        assert facts(store.path).answers == 1703


@pytest.mark.fault(7)
def test_a_damaged_answer_counts_as_absent_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store(path) as store:
        store.add("m", "e", [ranking("a"), ranking("b")])
    db = sqlite3.connect(path)
    db.execute("UPDATE answers SET body = replace(body, '-1.5', '-9.5') WHERE request = 'a'")
    db.commit()
    db.close()
    with Store(path) as store:
        assert store.read("m", "e", ["a", "b"]).keys() == {"b"}
        assert facts(store.path).damaged == 1
        store.add("m", "e", [ranking("a")])
        assert store.read("m", "e", ["a"])["a"] == ranking("a")
        assert (facts(store.path).damaged, facts(store.path).quarantined) == (0, 1)


@pytest.mark.fault(11)
def test_an_answer_moved_to_another_model_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store(path) as store:
        store.add("m", "e", [ranking("a")])
    db = sqlite3.connect(path)
    db.execute("UPDATE answers SET model = 'other'")
    db.commit()
    db.close()
    with Store(path) as store:
        assert store.read("other", "e", ["a"]) == {}


def test_proofs_are_kept_by_model_and_engine(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.add_proof("m", "e", {"score": 0.5})
        assert store.proof("m", "e") == {"score": 0.5}
        assert store.proof("m", "f") is None


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    "content", [b"this is no database, just some text that is long enough to have a header", b"\x00" * 4096]
)
def test_a_file_that_is_no_store_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be"):
        Store(path)
    assert path.read_bytes() == content


@pytest.mark.fault(7)
def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    db = sqlite3.connect(tmp_path / "s")
    db.execute("PRAGMA user_version=99")
    db.execute(f"PRAGMA application_id={MARK + 99}")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "s")


@pytest.mark.fault(5)
def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.add("m", "e", [ranking("a")])
        store._database._db.execute("PRAGMA max_page_count=12")  # SQLite's own way to be full
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(
                "m",
                "e",
                [Generation(request_id=f"g{i}", text="x" * 2000, finish_reason="stop", tokens=1) for i in range(100)],
            )
        assert store.read("m", "e", ["a", "g0"]).keys() == {"a"}
