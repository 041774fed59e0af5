"""Define the protocol of factories that spread blocks of requests over several engines, also on other machines."""

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
    """Identify the weights that must be in memory for the checkpoint to answer, without its adapter."""
    return checkpoint.weights, checkpoint.precision


def weights_name(checkpoint: Checkpoint) -> str:
    """Return the name of `weights_of` in run.json."""
    return " ".join(filter(None, map(str, weights_of(checkpoint))))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockJob:
    """One block of requests to one model. `drafts`: as in AnswersWithDrafts; `number`: unique in a run."""

    number: int
    checkpoint: Checkpoint
    requests: tuple[Request, ...]
    drafts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCost:
    """The costs of a block and the node that answered it. `seconds`: without loading; `loads`: weights that were read
    from disk since the block before (`weights_name`); `process`, `device`: peak bytes (None without a device).
    """

    node: str
    seconds: float
    loads: tuple[str, ...]
    process: int
    device: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBlock:
    """A block's answers or failures. `cost` is None if every try failed; `losses`: the nodes of the workers that were
    lost while they answered it.
    """

    job: BlockJob
    answers: tuple[Response | Failure, ...]
    cost: BlockCost | None
    losses: tuple[str, ...] = ()


class BlockSpreader(Protocol):
    """Sends each block to an engine that is free."""

    def add(self, job: BlockJob) -> None:
        """Add a block, also while others are answered."""
        ...

    def finished(self) -> Iterator[AnsweredBlock]:
        """Yield each block when it is answered, until all added blocks are. Raises EvalHarnessError if no engine is
        left, or a model cannot be opened.
        """
        ...


@runtime_checkable
class SpreadsBlocks(EngineFactory, Protocol):
    """An optional capability of a factory: several engines answer at once, each a whole block."""

    def spread(self, settings: EngineSettings) -> BlockSpreader:
        """Return a spreader whose engines answer as one opened with these settings would."""
        ...

    def keep_engines(self) -> AbstractContextManager[None]:
        """Keep the engines open from their first use to the end of the outermost `with` block; then free them."""
        ...


def keep_engines(factory: EngineFactory) -> AbstractContextManager[None]:
    """Keep a spreading factory's engines open during the `with` block; do nothing for other factories."""
    return factory.keep_engines() if isinstance(factory, SpreadsBlocks) else nullcontext()
