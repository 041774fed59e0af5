"""Keep the counts, times and notices of a run, for run.json."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from evalharness.run.progress import ProgressListener

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere


@dataclass(slots=True, kw_only=True)
class RunLog:
    """Counts and times of one run. Nothing here may influence a result."""

    started: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)  # which no step of the clock moves
    phases: dict[str, float] = field(default_factory=dict)  # name -> seconds
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    # task -> model -> amounts, where efficiency is described
    tasks: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    loads: dict[str, int] = field(default_factory=dict)  # weights -> how often they were read from disk
    peaks: dict[str, int] = field(default_factory=dict)  # model -> bytes, of the process up to the end of its turn

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - begun

    def count(self, model: str, **amounts: float) -> None:
        row = self.models.setdefault(model, {"stored": 0, "computed": 0, "seconds": 0.0})
        for key, amount in amounts.items():
            row[key] += amount

    def spend(self, task: str, model: str, **amounts: float) -> None:
        """Add what one model's answers to one task took: seconds, requests computed and stored, tokens read and
        answered.
        """
        row = self.tasks.setdefault(task, {}).setdefault(model, {})
        for key, amount in amounts.items():
            row[key] = row.get(key, 0) + amount

    def loaded(self, weights: str) -> None:
        self.loads[weights] = self.loads.get(weights, 0) + 1

    def finish(self, model: str) -> None:
        """Keep the peak of memory when a model has answered everything."""
        self.peaks[model] = _peak()

    def facts(self) -> dict[str, Any]:
        """Sum up for run.json: seconds, requests stored and computed by model (and by task, where that is described),
        loads, peak memory of this process.
        """
        spent = {task: {model: _rounded(row) for model, row in of_task.items()} for task, of_task in self.tasks.items()}
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.monotonic() - self.begun, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "models": {name: _rounded(row) for name, row in self.models.items()},
            **({"efficiency": spent} if spent else {}),
            **({"loads": self.loads} if self.loads else {}),
            "peak_memory_bytes": _peak(),
            **({"peak_memory_bytes_after": self.peaks} if self.loads else {}),
            "notices": self.notices,
        }


def tell(notices: Sequence[str], listener: ProgressListener, run_log: RunLog) -> None:
    """Pass notices to the listener and to run.json."""
    for notice in notices:
        run_log.notices.append(notice)
        listener.notice(notice)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 3) for key, value in row.items()}
