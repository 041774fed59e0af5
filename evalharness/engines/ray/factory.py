"""Describe engines as Ray workers would open them, and have workers answer; Ray starts at the first need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evalharness import registry
from evalharness.engines.base import GenerationConfigs, ModelTokenizers, factory_of
from evalharness.engines.ray import REGISTRY
from evalharness.engines.ray.engine import RayEngine
from evalharness.engines.ray.options import ray_options
from evalharness.engines.spreading import BlockSpreader
from evalharness.errors import UsageError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

if TYPE_CHECKING:
    from evalharness.engines.ray.pool import WorkerPool


class RayFactory:
    """Opens RayEngines. The workers run from the first use to the end of `keep_engines`, else of the process."""

    def __init__(self) -> None:
        self._settings, self._inner = EngineSettings(), EngineSettings()
        self._pool: WorkerPool | None = None
        self._holders = 0

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return the info of the engine inside a worker, so that answers are stored under the same key as without Ray.
        Raises UsageError for impossible settings, and ModelError if a node lacks the checkpoint.
        """
        return self._pool_of(settings).describe(checkpoint)

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> RayEngine:
        """Open the model in a worker. Raises ModelError if it cannot be loaded whole."""
        pool = self._pool_of(settings)
        return RayEngine(pool, checkpoint, pool.call(checkpoint, "open"))

    def spread(self, settings: EngineSettings) -> BlockSpreader:
        """Return the pool of workers, which answer blocks at the same time."""
        return self._pool_of(settings)

    @contextmanager
    def keep_engines(self) -> Iterator[None]:
        """Keep the workers until the outermost such `with` block ends."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._close()

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter | None:
        """Return the token counter of the engine inside."""
        return self._inner_factory().token_counter(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """Return the chat template of the engine inside."""
        return self._inner_factory().chat_renderer(checkpoint)

    def generation_differences(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Any, Any]]:
        """Return the differences that the engine inside finds."""
        inner = self._inner_factory()
        return inner.generation_differences(checkpoint) if isinstance(inner, GenerationConfigs) else {}

    def _pool_of(self, settings: EngineSettings) -> WorkerPool:
        if self._pool is None or self._settings != settings:
            self._close()
            self._settings, self._inner = settings, ray_options(settings).inner
            self._inner_factory()
            start: Callable[[EngineSettings], WorkerPool] = registry.find(REGISTRY, "pool", "engine step")
            self._pool = start(settings)
        return self._pool

    def _inner_factory(self) -> ModelTokenizers:
        """Return the factory of the engine inside, which counts tokens and renders chats here. Raises UsageError."""
        inner = factory_of(self._inner)
        if not isinstance(inner, ModelTokenizers):
            what = f"the engine {self._inner.name} has no tokenizers, which make the prompts where the run starts"
            raise UsageError("--engine-option engine", what, "hf would be right")
        return inner

    def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


FACTORY = RayFactory()
