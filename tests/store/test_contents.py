"""What a store says of itself, what is removed of it, and what is exported."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from store.conftest import ANSWERS, KEYS

from evalharness.errors import StoreError, UsageError
from evalharness.records.requests import Ranking, Scoring
from evalharness.store import RemovalRule, Store, export, facts, matching_sources, remove, repair, verify

DAY = 86_400
NOW = 2**31 + 10.0  # after 2038


def stamped(path: Path, days: dict[str, float]) -> None:
    """Have models be last used so many days before NOW."""
    db = sqlite3.connect(path)
    for model, age in days.items():
        db.execute("UPDATE uses SET last=? WHERE model=?", (int(NOW - age * DAY), model))
    db.commit()
    db.close()


def test_a_store_says_whose_answers_it_holds(path: Path) -> None:
    with Store(path) as store:
        store.add("m1", "f", [Scoring(request_id="s", logprob=-1.0, tokens=2)])
        store.add("m1", "e", [Ranking(request_id="q", logprobs=(-1.0,), tokens=(1,), greedy=(True,))])
        for name, task in (("lora", "sst2"), ("lora", "copa"), ("lora-again", "copa")):
            store.note_use("m1", "e", name, task)
        said = facts(path)  # while it is open, as it is during a run
    assert (said.answers, said.models, said.damaged, said.quarantined, said.set_aside) == (122, 2, 0, 0, ())
    first, second, third = said.sources
    assert (first.model, first.engine, first.answers) == ("m1", "e", {"generation": 60, "ranking": 1})
    assert first.names == ("lora", "lora-again") and first.tasks == ("copa", "sst2")
    assert (second.engine, second.answers, second.names) == ("f", {"scoring": 1}, ())
    assert third.model == "m2" and 0 < third.first <= third.last and third.bytes > 5000


@pytest.mark.fault(32)
def test_a_clock_that_is_set_back_moves_no_stamp(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = facts(path).sources[0]
    monkeypatch.setattr("evalharness.store.answers.time.time", lambda: before.first - 5000.0)
    with Store(path) as store:
        store.note_use("m1", "e", "", "")
    after = facts(path).sources[0]
    assert (after.first, after.last) == (before.first - 5000, before.last)


@pytest.mark.fault(7)
def test_verify_counts_and_repair_sets_aside(path: Path) -> None:
    assert verify(path) == (0, 122)
    repair(path, pytest.fail)
    db = sqlite3.connect(path)
    db.execute("UPDATE answers SET body = 'x', request = 'elsewhere' WHERE request = 'r005'")
    db.commit()
    db.close()
    damaged = path.read_bytes()
    assert verify(path) == (2, 122) and facts(path).damaged == 2
    notices: list[str] = []
    repair(path, notices.append)
    assert notices == [
        f"{path}: was damaged (2 of 122 rows do not fit their digests) and set aside as store.sqlite.damaged-1; "
        "118 answers of it were carried over, others are computed again"
    ]
    assert verify(path) == (0, 120) and facts(path).sources[0].last > 0
    assert path.with_name("store.sqlite.damaged-1").read_bytes() == damaged


def test_there_is_nothing_to_say_of_no_store(folder: Path) -> None:
    for use in (facts, verify, lambda path: repair(path, pytest.fail), lambda path: export(path, folder / "out")):
        with pytest.raises(StoreError, match="no store here; it is made by the first"):
            use(folder / "none")
    (folder / "empty").touch()
    with pytest.raises(StoreError, match="an empty file; it becomes a store"):
        facts(folder / "empty")
    assert [file.name for file in folder.iterdir()] == ["empty"]


@pytest.mark.fault(32)
def test_answers_go_by_model_age_and_size(path: Path) -> None:
    with Store(path) as store:
        store.add("abcdef123", "e", ANSWERS.values())
        store.note_use("abcdef123", "e", "lora", "sst2")
    stamped(path, {"m1": 40, "m2": 3, "abcdef123": 20, "future": -1})
    sources = facts(path).sources

    def models(**rule: object) -> list[str]:
        return [source.model for source in matching_sources(sources, RemovalRule(**rule), NOW)]  # type: ignore[arg-type]

    assert models(older_than_days=10) == ["m1", "abcdef123"]
    assert models(older_than_days=0) == ["m1", "abcdef123", "m2"]
    assert models(models=("lora",)) == models(models=("abcdef",)) == ["abcdef123"]
    assert models(models=("lora",), older_than_days=30) == []
    assert models(most_bytes=sources[0].bytes * 2) == ["m1"]
    assert models(most_bytes=10**9) == [] and len(models(most_bytes=0)) == 3
    with pytest.raises(UsageError, match="'lorra'; did you mean lora"):
        models(models=("lorra",))
    with pytest.raises(UsageError, match="no rule says what to delete"):
        models()


def test_what_is_removed_is_gone_and_the_file_is_smaller(path: Path) -> None:
    before = facts(path)
    remove(path, before.sources[:1], pytest.fail)
    after = facts(path)
    assert [source.model for source in after.sources] == ["m2"] and after.bytes < before.bytes
    with Store(path) as store:
        assert store.read("m1", "e", KEYS) == {} and store.proof("m1", "e") is None
        assert store.read("m2", "e", KEYS) == ANSWERS and store.proof("m2", "e") == {"score": 1.0}


def test_removal_while_a_run_is_at_it_loses_nothing_else(path: Path) -> None:
    with Store(path) as store:
        remove(path, facts(path).sources[:1], lambda notice: None)
        store.add("m3", "e", ANSWERS.values())
        assert store.read("m3", "e", KEYS) == store.read("m2", "e", KEYS) == ANSWERS


def test_exported_lines_hold_every_intact_answer(path: Path, folder: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE answers SET body = X'ff' WHERE request = 'r005'")
    db.commit()
    db.close()
    assert export(path, folder / "all.jsonl") == 118
    assert export(path, folder / "one.jsonl", {"m2"}) == 59
    lines = [json.loads(line) for line in (folder / "one.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "model": "m2",
        "engine": "e",
        "request": "r000",
        "kind": "generation",
        "text": "text 0 ",
        "finish_reason": "stop",
        "tokens": 0,
    }
    with pytest.raises(StoreError, match=r"cannot be written .*; name another file with --to"):
        export(path, folder / "none" / "x.jsonl")
    assert not [file for file in folder.iterdir() if "unfinished" in file.name]
