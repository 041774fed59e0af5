"""State what a factory must have that spreads blocks of requests over several engines, wherever these are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from evalharness.engines.base import EngineFactory
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Failure, Request, Response


def weights_of(checkpoint: Checkpoint) -> tuple[Path, str]:
    """Name what has to be in memory for the checkpoint to answer, adapters aside."""
    return checkpoint.weights, checkpoint.precision


def weights_name(checkpoint: Checkpoint) -> str:
    """Name `weights_of` in run.json."""
    return " ".join(filter(None, map(str, weights_of(checkpoint))))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJob:
    """One block of requests to one model. `drafts`: as of AnswersWithDrafts; `number` tells the jobs of a run apart."""

    number: int
    checkpoint: Checkpoint
    requests: tuple[Request, ...]
    drafts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCost:
    """What answering a block took, and on which node: seconds without loading, the weights that were read from disk
    since the block before (`weights_name`), the highest bytes in memory of the process and of its device (None without
    one).
    """

    node: str
    seconds: float
    loads: tuple[str, ...]
    process: int
    device: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBlock:
    """A block's answers or failures. `cost` is None where every try failed; `losses`: the nodes on which a worker was
    lost that was to answer it.
    """

    job: BlockJob
    answers: tuple[Response | Failure, ...]
    cost: BlockCost | None
    losses: tuple[str, ...] = ()


class BlockSpreader(Protocol):
    """Has blocks answered by whichever engine is free."""

    def add(self, job: BlockJob) -> None:
        """Give a block, also while others are answered."""
        ...

    def finished(self) -> Iterator[AnsweredBlock]:
        """Yield each block once, as it is answered, until all that were given are. Raises EvalHarnessError where no
        engine is left, or a model cannot be opened.
        """
        ...


@runtime_checkable
class SpreadsBlocks(EngineFactory, Protocol):
    """An optional capability of a factory: it has several engines answer at once, each whole blocks."""

    def spread(self, settings: EngineSettings) -> BlockSpreader:
        """Have blocks answered by engines of these settings, as one opened with them would answer."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Keep the engines from their first use to the end of the block, and of those around it; then free all that
        they have.
        """
        ...


def held(factory: EngineFactory) -> AbstractContextManager[None]:
    """Keep what the factory needs beside its engines for as long as the block runs, where it needs anything."""
    return factory.held() if isinstance(factory, SpreadsBlocks) else nullcontext()
