"""The store keeps every answer under the right model, survives kills, and never serves a damaged one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from evalharness.errors import StoreError
from evalharness.records.requests import Generation, Ranking, Scoring
from evalharness.store import Store


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
        assert store.facts().answers == 1703


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
        assert store.facts().damaged == 1
        store.add("m", "e", [ranking("a")])
        assert store.read("m", "e", ["a"])["a"] == ranking("a")
        assert store.facts().damaged == 0


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


@pytest.mark.parametrize(
    "content", [b"this is no database, just some text that is long enough to have a header", b"\x00" * 4096]
)
def test_a_file_that_is_no_store_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be"):
        Store(path)
    assert path.read_bytes() == content


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "s")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "s")


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.add("m", "e", [ranking("a")])
        store._db.execute("PRAGMA max_page_count=12")  # SQLite's own way to be full
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(
                "m",
                "e",
                [Generation(request_id=f"g{i}", text="x" * 2000, finish_reason="stop", tokens=1) for i in range(100)],
            )
        assert store.read("m", "e", ["a", "g0"]).keys() == {"a"}


WRITER = """
import sys
from pathlib import Path
from evalharness.records.requests import Generation
from evalharness.store import Store
with Store(Path(sys.argv[1])) as store:
    for block in range(10_000):
        same = {"text": "text", "finish_reason": "stop", "tokens": 1}
        store.add("m", sys.argv[2], [Generation(request_id=f"{block}-{i}", **same) for i in range(5)])
        print(block, flush=True)
"""


OPENER = """
import sys
from pathlib import Path
from evalharness.store import Store
print("ready", flush=True)
for path in sys.stdin:
    Store(Path(path.strip())).close()
    print("opened", flush=True)
"""


def test_processes_that_open_a_new_store_together_all_get_it(tmp_path: Path) -> None:
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [opener.stdout.readline() for opener in openers if opener.stdout]
    for i in range(40):
        for opener in openers:
            assert opener.stdin
            opener.stdin.write(f"{tmp_path / str(i)}\n")
            opener.stdin.flush()
        said += [opener.stdout.readline() for opener in openers if opener.stdout]
    for opener in openers:
        opener.communicate()
    assert said == ["ready\n"] * 3 + ["opened\n"] * 120


def test_two_writers_killed_lose_no_block_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"e{i}"], stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    acknowledged = []
    for writer in writers:
        assert writer.stdout
        assert any(int(line) >= 20 for line in writer.stdout)
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        acknowledged.append(int(rest[-1]) if rest else 20)
    with Store(path) as store:
        for i, last in enumerate(acknowledged):
            keys = [f"{block}-{j}" for block in range(last + 1) for j in range(5)]
            assert store.read("m", f"e{i}", keys).keys() == set(keys)
        assert store.facts().damaged == 0
