"""Define the protocol of factories that spread blocks of requests over several engines, which may run on other
machines.

A block is a part of one task's requests to one model, at most 128, which one engine answers as a whole.
"""

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
    """One block of requests to one model. `number`: unique in a run. `drafts`: request id -> another model's text, as
    in AnswersWithDrafts.
    """

    number: int
    checkpoint: Checkpoint
    requests: tuple[Request, ...]
    drafts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCost:
    """The costs of answering one block in a worker (a process with an engine of its own).

    `node`: the machine that answered. `seconds`: for answering, without loading the model. `loads`: the names
    (`weights_name`) of the weights that the worker read from disk since its block before. `process`, `device`: the most
    memory in bytes that the worker's process and its accelerator used meanwhile; `device` is None without an
    accelerator.
    """

    node: str
    seconds: float
    loads: tuple[str, ...]
    process: int
    device: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBlock:
    """One block with its answers or failures. `cost`: None if every try failed. `losses`: the nodes of the workers that
    were lost while they answered the block.
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
