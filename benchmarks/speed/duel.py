"""Have two sides answer the same requests in turn: batch sizes swept, the best of each taken, then rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Batches = Mapping[str, tuple[Any, ...]]  # by side: ours are settings of the engine, theirs rows
OURS: tuple[Any, ...] = ({}, {"batch_size": 32, "batch_tokens": 4096})
RANKED: Batches = {"ours": OURS, "theirs": (1, 4, 16)}  # larger ones only take more memory on a CPU
WRITTEN: Batches = {"ours": OURS, "theirs": (8, 16, 32)}


@dataclass(frozen=True)
class Rounds:
    """What one side took: processor and wall seconds of each round, bytes of growth in the first, its batch, and its
    answers.
    """

    busy: list[float]
    wall: list[float]
    growth: int
    batch: Any
    answers: list[Any]


def environment(threads: int) -> dict[str, str]:
    """For every process that is measured: as many threads, none of which waits by spinning; no network."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }


class SideProcess:
    """A process of side.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, what: str, **details: Any) -> dict[str, Any]:
        """Give a command and wait for its result. Raises RuntimeError where the process ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}; its messages are above")
        return dict(json.loads(line))


@contextmanager
def started(side: str, job: Path, threads: int) -> Iterator[SideProcess]:
    """A side with its model in memory; ended afterwards."""
    command = [sys.executable, str(HERE / "side.py"), side, str(job)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
    ) as process:
        try:
            yield SideProcess(process)
        finally:
            process.kill()


def best_batch(side: SideProcess, batches: Sequence[Any], sample: int) -> Any:
    """The batch setting by which a side takes least processor time for the first `sample` requests."""
    if len(batches) == 1:
        return batches[0]
    seconds = [side.do("answer", batch=batch, limit=sample)["busy"] for batch in batches]
    return batches[seconds.index(min(seconds))]


def duel(
    jobs: Mapping[str, Path], threads: int, rounds: int, batches: Batches, sample: int
) -> tuple[dict[str, Rounds], float]:
    """Both sides in alternating rounds; sides are told apart by the names of their jobs, which begin with "ours" or
    "theirs". The second result is the rate of float32 products, in operations a second of processor time.
    """
    kinds = {name: name.partition("-")[0] for name in jobs}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(started(kinds[name], job, threads)) for name, job in jobs.items()}
        best = {name: best_batch(side, batches[kinds[name]], sample) for name, side in sides.items()}
        costs: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
        for number in range(rounds):
            for name in list(jobs) if number % 2 == 0 else reversed(list(jobs)):
                costs[name].append(sides[name].do("answer", batch=best[name], limit=None))
        answers = {name: side.do("answers")["answers"] for name, side in sides.items()}
        rate = next(iter(sides.values())).do("matmul")["rate"]
    return {
        name: Rounds(
            [cost["busy"] for cost in costs[name]],
            [cost["wall"] for cost in costs[name]],
            int(costs[name][0]["growth"]),
            best[name],
            answers[name],
        )
        for name in jobs
    }, rate
