"""Hear when a run's models are opened and have answered, and read what it kept."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response


class Watched:
    """An engine that tells of every block that it has answered."""

    def __init__(self, engine, answered: Callable[[], object]) -> None:
        self.engine, self.info, self.answered = engine, engine.info, answered
        self.next_token_logits = engine.next_token_logits

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        yield from list(self.engine.answer(requests))
        self.answered()

    def close(self) -> None:
        self.engine.close()


class WatchedFactory:
    """Opens engines of transformers. `tell` hears what happens: "opening NAME", "answered NAME"."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.tell = tell

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return FACTORY.describe(checkpoint, settings)

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Watched:
        self.tell(f"opening {checkpoint.name}")
        return Watched(FACTORY.open(checkpoint, settings), lambda: self.tell(f"answered {checkpoint.name}"))


def answers_in(store: Path) -> dict[tuple[str, str, str], str]:
    with contextlib.closing(sqlite3.connect(store)) as db:
        return {tuple(key): body for *key, body in db.execute("SELECT model, engine, request, body FROM answers")}
