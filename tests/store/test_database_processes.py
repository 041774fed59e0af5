"""Several processes on one store, killed ones among them, and power that is cut: what was acknowledged is there."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from store.conftest import ANSWERS, KEYS

from evalharness.records.requests import Generation
from evalharness.store import Store, facts, verify

FORK = multiprocessing.get_context("fork")
Properties = Callable[[str, object], None]


def together(count: int, work: Callable[[int], None]) -> list[int | None]:
    """Exit codes of so many processes that begin at once."""
    barrier = FORK.Barrier(count)

    def begun(number: int) -> None:
        barrier.wait()
        work(number)

    processes = [FORK.Process(target=begun, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


@pytest.mark.fault(8)
def test_processes_that_open_a_new_store_together_all_get_it(folder: Path, record_property: Properties) -> None:
    record_property("injected", 20)

    def work(number: int) -> None:
        for i in range(20):
            Store(folder / str(i)).close()

    assert together(3, work) == [0, 0, 0]
    assert all(facts(folder / str(i)).answers == 0 for i in range(20))


@pytest.mark.fault(8)
@pytest.mark.parametrize("models", [("m", "m", "m", "m"), ("a", "b", "a", "c")])
def test_processes_on_one_store_all_end_and_keep_everything_once(folder: Path, models: Sequence[str]) -> None:
    path = folder / "store.sqlite"

    def work(number: int) -> None:
        with Store(path) as store:
            for start in range(0, 60, 5):
                block = KEYS[start : start + 5]
                store.read(models[number], "e", block)
                store.add(models[number], "e", [ANSWERS[key] for key in block])
                store.note_use(models[number], "e", f"n{number}", "t")

    assert together(4, work) == [0, 0, 0, 0]
    assert facts(path).answers == 60 * len(set(models)) and verify(path)[0] == 0
    with Store(path) as store:
        assert all(store.read(model, "e", KEYS) == ANSWERS for model in models)


@pytest.mark.fault(7)
@pytest.mark.fault(8)
def test_processes_that_find_one_damage_set_it_aside_once(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60] ^= 0x40  # of the version
    path.write_bytes(content)

    def work(number: int) -> None:
        with Store(path) as store:
            assert store.read("m1", "e", KEYS).keys() <= set(KEYS)
            store.add("m1", "e", ANSWERS.values())
            assert store.read("m1", "e", KEYS) == ANSWERS

    assert together(3, work) == [0, 0, 0]
    assert [file.name for file in facts(path).set_aside] == ["store.sqlite.damaged-1"]
    assert facts(path).answers == 120 and verify(path)[0] == 0


def write_until_killed(path: Path, engine: str, pipe: Connection) -> None:
    with Store(path) as store:
        for block in range(100_000):
            same = {"text": "text", "finish_reason": "stop", "tokens": 1}
            store.add("m", engine, [Generation(request_id=f"{block}-{i}", **same) for i in range(5)])  # type: ignore[arg-type]
            pipe.send(block)


@pytest.mark.fault(1)
@pytest.mark.fault(8)
def test_two_writers_killed_lose_no_block_that_was_committed(folder: Path) -> None:
    path, writers = folder / "s", []
    for engine in ("e0", "e1"):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = FORK.Process(target=write_until_killed, args=(path, engine, theirs))
        process.start()
        theirs.close()
        writers.append((engine, process, ours))
    acknowledged = {}
    for engine, process, pipe in writers:
        while pipe.recv() < 20:
            pass
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        acknowledged[engine] = 20
        try:
            while True:
                acknowledged[engine] = pipe.recv()
        except (EOFError, OSError):
            pass
    with Store(path) as store:
        for engine, last in acknowledged.items():
            keys = [f"{block}-{j}" for block in range(last + 1) for j in range(5)]
            assert store.read("m", engine, keys).keys() == set(keys)
        assert facts(path).damaged == 0


def cut_power(folder: Path, commits: int, cuts: int, seed: int) -> int:
    """Copy file and log after every commit, cut copies of the log anywhere, and open what is left: every answer that
    is read is right, and those of the log's whole commits are there. Returns how many copies were opened.
    """
    rng, opened, log = random.Random(seed), 0, folder / "live.sqlite-wal"
    with Store(folder / "live.sqlite") as store:
        for commit in range(commits):
            store.add("m1", "e", [ANSWERS[key] for key in KEYS[: commit + 1]])
            lengths = [None, *(rng.randrange(log.stat().st_size + 1) for _ in range(cuts))]
            for length in lengths:
                copied = folder / f"copy{opened}.sqlite"
                shutil.copyfile(store.path, copied)
                shutil.copyfile(log, f"{copied}-wal")
                if length is not None:
                    os.truncate(f"{copied}-wal", length)
                notices: list[str] = []
                with Store(copied, notices.append) as after:
                    served = after.read("m1", "e", KEYS)
                assert all(answer == ANSWERS[key] for key, answer in served.items()) and not notices
                assert list(served) == list(KEYS[: len(served)]), "a later commit without an earlier one"
                assert length is not None or len(served) == commit + 1
                opened += 1
    return opened


@pytest.mark.fault(3)
def test_power_cut_at_every_commit_loses_nothing_acknowledged(folder: Path, record_property: Properties) -> None:
    record_property("injected", cut_power(folder, commits=12, cuts=3, seed=0))


@pytest.mark.fault(3)
@pytest.mark.slow
def test_power_cut_a_thousand_times(folder: Path, record_property: Properties) -> None:
    record_property("injected", cut_power(folder, commits=50, cuts=20, seed=1))
