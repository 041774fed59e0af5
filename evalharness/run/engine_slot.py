"""Keep at most one engine of a run open, and replace it when another checkpoint has to answer."""

from __future__ import annotations

from evalharness.engines.base import Engine, EngineFactory, WeightReuse, errors_of
from evalharness.engines.spreading import SpreadsBlocks, weights_name, weights_of
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.run.run_log import RunLog

ONCE_WRITTEN = "give the command again once its files, and its base's, are all written"


class EngineSlot:
    """Holds the one open engine of a run; as a context manager it closes it.

    Every engine must be as `info` describes, because answers are stored under that description.
    """

    def __init__(self, factory: EngineFactory, settings: EngineSettings, info: EngineInfo, run_log: RunLog) -> None:
        self.factory, self._settings, self._info, self._run_log = factory, settings, info, run_log
        self._engine: Engine | None = None
        self._checkpoint: Checkpoint | None = None

    def __enter__(self) -> EngineSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def holds(self, checkpoint: Checkpoint) -> bool:
        return self._engine is not None and self._checkpoint == checkpoint

    def engine_of(self, checkpoint: Checkpoint) -> Engine:
        """Return the engine of `checkpoint`; if another one is open, it is replaced. Raises ModelError, also for an
        engine that differs from its description, and NotComparableError as `errors_of` does; then none is open.
        """
        if self._engine is not None and self.holds(checkpoint):
            return self._engine
        last = self._checkpoint
        with errors_of(type(self.factory).__name__, "open"):
            engine = self._opened(checkpoint)
            self._refuse_other(engine, checkpoint)
        is_same = last is not None and weights_of(last) == weights_of(checkpoint)
        if not (is_same or checkpoint.endpoint or isinstance(self.factory, SpreadsBlocks)):  # it reports these
            self._run_log.add_load(weights_name(checkpoint))
        self._engine, self._checkpoint = engine, checkpoint
        return engine

    def _opened(self, checkpoint: Checkpoint) -> Engine:
        previous = self._engine
        if previous is None or not isinstance(self.factory, WeightReuse):
            self.clear()
            return self.factory.open(checkpoint, self._settings)
        self._engine = self._checkpoint = None
        try:
            return self.factory.open_after(previous, checkpoint, self._settings)
        finally:
            previous.close()

    def _refuse_other(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Close an engine that differs from the run's, and raise ModelError: its answers would be stored as theirs."""
        if engine.info.fingerprint == self._info.fingerprint:
            return
        engine.close()
        own, run = engine.info.details, self._info.details
        other = ", ".join(sorted(key for key in {*own, *run} if own.get(key) != run.get(key))) or "name"
        what = f"its engine differs, once opened, from its description before the run ({other})"
        raise ModelError(checkpoint.place, what, ONCE_WRITTEN)

    def clear(self) -> None:
        """Close the engine that is open."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._checkpoint = None
