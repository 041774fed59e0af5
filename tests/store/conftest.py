"""A folder where a write to disk costs nothing, answers, and a store that holds them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from evalharness.records.requests import Generation
from evalharness.store import Store

MEMORY = Path("/dev/shm")
KEYS = tuple(f"r{i:03}" for i in range(60))
ANSWERS = {
    key: Generation(request_id=key, text=f"text {i} {'x' * (i * 37 % 300)}", finish_reason="stop", tokens=i)
    for i, key in enumerate(KEYS)
}
MODELS = ("m1", "m2")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Empty, in memory where the system has such a place."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def path(folder: Path) -> Path:
    """A store of 60 answers of either model, in blocks of 20, and a proof of each; nobody has it open."""
    place = folder / "store.sqlite"
    with Store(place) as store:
        fill(store)
    return place


def fill(store: Store) -> None:
    for model in MODELS:
        for start in range(0, 60, 20):
            store.add(model, "e", [ANSWERS[key] for key in KEYS[start : start + 20]])
        store.add_proof(model, "e", {"score": 1.0})


def in_a_child(action: Callable[[], None]) -> str:
    """Run a function in a process of its own (forked: it may lower limits and rights) and return what it raised, as
    text, "" for nothing.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_tell, args=(action, theirs))
    process.start()
    said = str(ours.recv())
    process.join()
    return said


@contextmanager
def another(action: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Another process that holds what a function opens. It is forked, so nothing of SQLite may be open here."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(action, theirs))
    process.start()
    assert ours.recv() == "held"
    try:
        yield
    finally:
        ours.send("let go")
        process.join()


def _hold(action: Callable[[], AbstractContextManager[object]], pipe: Connection) -> None:
    with action():
        pipe.send("held")
        pipe.recv()


def _tell(action: Callable[[], None], pipe: Connection) -> None:
    try:
        action()
        pipe.send("")
    except BaseException as error:
        pipe.send(f"{type(error).__name__}: {error}")
