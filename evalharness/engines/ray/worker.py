"""Run one engine in a process of its own on some node of a cluster; it answers whole blocks of requests."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import get_runtime_context

from evalharness import __version__, peak_memory, registry
from evalharness.checkpoints.derived import check_unchanged
from evalharness.engines.base import AnswersPlainly, AnswersWithDrafts, Engine, WeightReuse, errors_of, factory_of
from evalharness.engines.ray import REGISTRY
from evalharness.engines.spreading import BlockCost, weights_name, weights_of
from evalharness.errors import EvalHarnessError, ModelError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response

PROBES = ("next_token_logits", "merge_logits")  # methods of optional capabilities that a RayEngine forwards
EVERYWHERE = "have the same files at the same path of every node: a folder that they share, or copies"
HF = "hf"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker's node, and its version of evalharness."""

    node: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEngine:
    """The description of the engine that a worker has open. `info`: its settings. `probes`: which of the optional
    `PROBES` it has.
    """

    info: EngineInfo
    probes: tuple[str, ...]


class Worker:
    """Opens one engine at a time, in a worker's process. Weights that the next engine shares with it stay in memory."""

    def __init__(self, settings: EngineSettings, threads: int) -> None:
        self._settings, self._node = settings, f"{socket.gethostname()} {get_runtime_context().get_node_id()[:8]}"
        self._factory = factory_of(settings)
        self._engine: Engine | None = None
        self._checkpoint: Checkpoint | None = None
        self._loads: list[str] = []  # since the block before
        if settings.name == HF:
            registry.find(REGISTRY, "threads", "engine step")(threads)

    def facts(self) -> WorkerFacts:
        return WorkerFacts(node=self._node, version=__version__)

    def describe(self, checkpoint: Checkpoint) -> EngineInfo:
        """Return the info of an engine opened here. Raises ModelError if the checkpoint's files are missing on this
        node, or differ from those on the machine where the run started.
        """
        self._refuse_absent(checkpoint)
        try:
            check_unchanged(checkpoint)
        except ModelError as error:
            what = "its files are not those of this path where the run started"
            raise ModelError(self._at_node(checkpoint.path), what, EVERYWHERE) from error
        with errors_of(self._settings.name, "describe"):
            return self._factory.describe(checkpoint, self._settings)

    def open(self, checkpoint: Checkpoint, engine: str) -> OpenedEngine:
        """Open the checkpoint unless it is open. `engine`: the fingerprint under which its answers are stored. Raises
        EvalHarnessError.
        """
        opened = self._opened(checkpoint, engine)
        return OpenedEngine(info=opened.info, probes=tuple(name for name in PROBES if hasattr(opened, name)))

    def answer(
        self, checkpoint: Checkpoint, engine: str, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> tuple[tuple[Response | Failure, ...], BlockCost]:
        """Answer a block, and return its costs. Raises as `open` does, and what the engine raises."""
        peak_memory.reset()
        opened, begun = self._opened(checkpoint, engine), time.perf_counter()
        answering = opened.answer_with_drafts if drafts and isinstance(opened, AnswersWithDrafts) else None
        answers = tuple(answering(requests, drafts) if answering else opened.answer(requests))
        loads, self._loads = tuple(self._loads), []
        return answers, BlockCost(
            node=self._node,
            seconds=time.perf_counter() - begun,
            loads=loads,
            process=peak_memory.process_peak(),
            device=peak_memory.device_peak(),
        )

    def call(
        self, checkpoint: Checkpoint, engine: str, method: str, arguments: tuple[Sequence[Any], Mapping[str, Any]]
    ) -> Any:
        """Call a method of the engine with positional and keyword arguments. Raises as `open` does, and what the engine
        raises.
        """
        return getattr(self._opened(checkpoint, engine), method)(*arguments[0], **arguments[1])

    def plain_because(self, checkpoint: Checkpoint, engine: str) -> str:
        """Return why the engine uses its slower path; "" if it cannot say."""
        opened = self._opened(checkpoint, engine)
        return opened.plain_because if isinstance(opened, AnswersPlainly) else ""

    def _opened(self, checkpoint: Checkpoint, fingerprint: str) -> Engine:
        if self._engine is not None and self._checkpoint == checkpoint:
            return self._engine
        self._refuse_absent(checkpoint)
        last, previous, self._engine, self._checkpoint = self._checkpoint, self._engine, None, None
        with self._errors():
            engine = self._replaced(previous, checkpoint)
            if engine.info.fingerprint != fingerprint:
                engine.close()
                what = "its engine differs, once opened there, from its description before"
                raise ModelError(checkpoint.path, what, EVERYWHERE)
        if last is None or weights_of(last) != weights_of(checkpoint):
            self._loads.append(weights_name(checkpoint))
        self._engine, self._checkpoint = engine, checkpoint
        return engine

    def _refuse_absent(self, checkpoint: Checkpoint) -> None:
        for place in (checkpoint.path, checkpoint.weights):
            if not place.is_dir():
                raise ModelError(self._at_node(place), "is not there", EVERYWHERE)

    def _replaced(self, previous: Engine | None, checkpoint: Checkpoint) -> Engine:
        if previous is None:
            return self._factory.open(checkpoint, self._settings)
        try:
            if isinstance(self._factory, WeightReuse):
                return self._factory.open_after(previous, checkpoint, self._settings)
        finally:
            previous.close()
        return self._factory.open(checkpoint, self._settings)

    def _at_node(self, path: object) -> str:
        return f"{path} on node {self._node}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the node in the errors of opening a checkpoint."""
        try:
            with errors_of(self._settings.name, "open"):
                yield
        except EvalHarnessError as error:
            raise type(error)(self._at_node(error.where), error.what, error.fix) from None
