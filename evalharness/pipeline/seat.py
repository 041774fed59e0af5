"""Checkpoints to engines, one in memory at a time: each is opened after the one before, so that weights which both have are read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalharness.engines.base import Engine, EngineFactory
from evalharness.pipeline.assemble import Contest
from evalharness.pipeline.watch import Ledger
from evalharness.records.models import Checkpoint, EngineSettings

Turns = tuple[list[Checkpoint], list[Checkpoint]]


class Seat:
    """Where the engine sits that answers. Use as a context manager: it is empty at the end."""

    def __init__(self, factory: EngineFactory, settings: EngineSettings, ledger: Ledger) -> None:
        self.factory, self._settings, self._ledger = factory, settings, ledger
        self._engine: Engine | None = None
        self._checkpoint: Checkpoint | None = None

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def holds(self, checkpoint: Checkpoint) -> bool:
        return self._engine is not None and self._checkpoint == checkpoint

    def give(self, checkpoint: Checkpoint) -> Engine:
        """The engine of `checkpoint`, opened after the one that sits here. Raises ModelError; then the seat is empty."""
        if self._engine is not None and self.holds(checkpoint):
            return self._engine
        before, last = self._engine, self._checkpoint
        self._engine = self._checkpoint = None
        try:
            engine = self.factory.open(checkpoint, self._settings, before)
        except BaseException:
            if before is not None:
                before.close()
            raise
        if last is None or weights_of(last) != weights_of(checkpoint):
            self._ledger.loaded(" ".join(filter(None, (str(checkpoint.weights), checkpoint.precision))))
        self._engine, self._checkpoint = engine, checkpoint
        return engine

    def clear(self) -> None:
        """Free the memory."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._checkpoint = None


def weights_of(checkpoint: Checkpoint) -> tuple[Path, str]:
    """What has to be in memory for it to answer, adapters aside."""
    return checkpoint.weights, checkpoint.precision


def turns(contest: Contest) -> Turns:
    """In which order checkpoints are proven, and in which they are measured: other full weights before the base's and after them, so that the
    base's stay in memory from the first proof of theirs to the last answer.
    """
    every: Sequence[Checkpoint] = contest.checkpoints
    home = weights_of(contest.base if isinstance(contest.base, Checkpoint) else next((c for c in every if c.adapter), every[0]))
    at_home = [checkpoint for checkpoint in every if weights_of(checkpoint) == home]
    others = [checkpoint for checkpoint in every if weights_of(checkpoint) != home]
    return [*others, *at_home], [*at_home, *others]
