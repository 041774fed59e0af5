"""Keep the counts, times and notices of a run, for run.json."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from evalharness import peak_memory
from evalharness.engines.spreading import AnsweredBlock
from evalharness.records.models import Checkpoint
from evalharness.run.model_cost import ModelCost
from evalharness.run.progress import ProgressListener

OF_TURNS = "each model's own turns"
UP_TO = "the process up to the end of each model's last turn"


@dataclass(slots=True, kw_only=True)
class RunLog:
    """The counts and times of one run; none of them may influence a result.

    `started`, `begun`: the start by the calendar and by the monotonic clock. `phases`: phase -> seconds. `models`:
    model -> its costs. `tasks`: task -> model -> amounts. `nodes`: machine of a cluster -> amounts. `notices`: told to
    the user. `loads`: weights -> how often they were read from disk. `highest`: the most memory of this process in
    bytes before the peak was last reset. `peaks_of`: whether peaks are of each model's turns or of the whole run.
    """

    started: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)  # unaffected by changes of the system clock
    phases: dict[str, float] = field(default_factory=dict)  # name -> seconds
    models: dict[str, ModelCost] = field(default_factory=dict)
    # task -> model -> amounts, where efficiency is described
    tasks: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    nodes: dict[str, dict[str, float]] = field(default_factory=dict)  # node -> amounts, where several engines answer
    notices: list[str] = field(default_factory=list)
    loads: dict[str, int] = field(default_factory=dict)  # weights -> how often they were read from disk
    highest: int = 0  # peak bytes of this process before the peak was last reset
    peaks_of: str = OF_TURNS

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - begun

    def count(self, model: str, **amounts: float) -> None:
        """Add to a model's `stored` and `computed` requests, and to its `seconds`."""
        cost = self.models.setdefault(model, ModelCost())
        for key, amount in amounts.items():
            setattr(cost, key, getattr(cost, key) + amount)

    def add_answers(self, model: str, seconds: float, tokens: dict[str, int]) -> None:
        """Add the seconds and tokens of a model's computed answers."""
        self.models.setdefault(model, ModelCost()).add_answers(seconds, tokens)

    def spend(self, task: str, model: str, **amounts: float) -> None:
        """Add the costs of one model's answers to one task: seconds, requests computed and stored, tokens read and
        written.
        """
        row = self.tasks.setdefault(task, {}).setdefault(model, {})
        for key, amount in amounts.items():
            row[key] = row.get(key, 0) + amount

    def add_block(self, block: AnsweredBlock) -> None:
        """Add a block's costs to its node, and each worker that was lost over the block to its node."""
        for node in block.losses:
            self._of_node(node)["workers_lost"] += 1
        if (cost := block.cost) is not None:
            row = self._of_node(cost.node)
            row["blocks"] += 1
            row["requests"] += len(block.job.requests)
            row["seconds"] += cost.seconds
            row["loads"] += len(cost.loads)
            row["peak_process_bytes"] = max(row["peak_process_bytes"], cost.process)

    def _of_node(self, node: str) -> dict[str, float]:
        amounts = ("blocks", "requests", "seconds", "loads", "peak_process_bytes", "workers_lost")
        return self.nodes.setdefault(node, dict.fromkeys(amounts, 0))

    def add_load(self, weights: str) -> None:
        self.loads[weights] = self.loads.get(weights, 0) + 1

    @contextmanager
    def turn(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Measure the seconds and the peak memory of a model's turn. If peaks cannot be reset, the peak is of the whole
        run.
        """
        begun, cost = time.perf_counter(), self.models.setdefault(checkpoint.name, ModelCost())
        cost.checkpoint = checkpoint
        self.highest = max(self.highest, peak_memory.process_peak())
        if not peak_memory.reset():
            self.peaks_of = UP_TO
        yield
        cost.seconds += time.perf_counter() - begun
        cost.add_peaks(peak_memory.process_peak(), peak_memory.device_peak())

    def facts(self) -> dict[str, Any]:
        """Return the facts for run.json: seconds, stored and computed requests by model (and by task for `--describe
        efficiency`), loads, costs of each node, peak memory of this process and of each model's turns.
        """
        spent = {task: {model: _rounded(row) for model, row in of_task.items()} for task, of_task in self.tasks.items()}
        return {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.monotonic() - self.begun, 3),
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "models": {name: cost.facts(bool(self.loads)) for name, cost in self.models.items()},
            **({"efficiency": spent} if spent else {}),
            **({"nodes": {name: _rounded(row) for name, row in self.nodes.items()}} if self.nodes else {}),
            **({"loads": self.loads} if self.loads else {}),
            "peak_memory_bytes": max(self.highest, peak_memory.process_peak()),
            **({"peaks_of_models": self.peaks_of} if self.loads else {}),
            "notices": self.notices,
        }


def tell(notices: Sequence[str], listener: ProgressListener, run_log: RunLog) -> None:
    """Send notices to the listener and record them for run.json."""
    for notice in notices:
        run_log.notices.append(notice)
        listener.notice(notice)


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 3) for key, value in row.items()}
