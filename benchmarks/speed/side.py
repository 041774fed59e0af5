"""Answer the requests of one workload by one harness, in a process of its own that reads commands and writes results,
one JSON object a line.

    python benchmarks/speed/side.py ours|theirs JOB.json

The job names the model, its adapter, the requests and the drafts. Commands: {"do": "answer", "batch": …, "limit": …}
gives seconds of processor and wall time, and bytes by which the process grew at most; {"do": "answers"} the answers of
the last call; {"do": "matmul"} float32 multiply-adds a second of processor time.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.engine import HFEngine
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Failure, Generate, Rank, Request
from evalharness.run.collect import blocks

WARM_UP: list[Request] = [
    Rank(pairs=(("The first of two", " words"),)),
    Generate(prompt="The first of two", max_tokens=2, stop=()),
]
Answer = list[Any]  # of a Rank: [log-probability, is it greedy] a pair; of a Generate: [text]


class Side(Protocol):
    """One harness with a model in memory."""

    def prepare(self, batch: Any) -> None:
        """Be as after starting, and use this batch from now on."""

    def answer(self, requests: list[Request]) -> list[Answer]: ...


class Ours:
    """evalharness's engine, block by block as a run asks it. `batch`: settings of the engine that differ from its
    defaults.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._checkpoint = recognise(job["adapter"] or job["model"], base=job["model"] if job["adapter"] else None)
        self._drafts: dict[str, str] = job["drafts"]
        self._engine: HFEngine | None = None

    def prepare(self, batch: dict[str, Any]) -> None:
        """Open the engine anew, without the headers that it keeps, and let it check what it does once a model."""
        settings, previous = EngineSettings(device="cpu", **batch), self._engine
        if previous is None:
            self._engine = FACTORY.open(self._checkpoint, settings)
        else:
            self._engine = FACTORY.open_after(previous, self._checkpoint, settings)
        list(self._engine.answer(WARM_UP))

    def answer(self, requests: list[Request]) -> list[Answer]:
        answers = {answer.request_id: answer for block in blocks(requests) for answer in self._block(block)}
        for answer in answers.values():
            if isinstance(answer, Failure):
                raise RuntimeError(answer.reason)
        return [_plain(answers[request.id]) for request in requests]

    def _block(self, block: dict[str, Request]) -> Iterator[Any]:
        assert self._engine
        drafts = {key: self._drafts[key] for key in block if key in self._drafts}
        if drafts:
            return self._engine.answer_with_drafts(list(block.values()), drafts)
        return self._engine.answer(list(block.values()))


def _plain(answer: Any) -> Answer:
    if hasattr(answer, "text"):
        return [answer.text]
    return [list(pair) for pair in zip(answer.logprobs, answer.greedy, strict=True)]


class Theirs:
    """lm-eval's HFLM through its own instances. `batch`: rows."""

    def __init__(self, job: dict[str, Any]) -> None:
        from lm_eval.api.instance import Instance  # noqa: PLC0415  # only this side needs lm-eval
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

        self._instance = Instance
        self._model = HFLM(pretrained=job["model"], peft=job["adapter"], device="cpu", dtype="float32", batch_size=1)

    def prepare(self, batch: int) -> None:
        self._model.batch_size_per_gpu = batch
        self.answer(WARM_UP[:1])
        self.answer(WARM_UP[1:])

    def answer(self, requests: list[Request]) -> list[Answer]:
        if isinstance(requests[0], Generate):
            prompts = [_generation(request) for request in requests if isinstance(request, Generate)]
            return [[text] for text in self._run("generate_until", prompts)]
        ranks = [request for request in requests if isinstance(request, Rank)]
        scores = iter(self._run("loglikelihood", [pair for rank in ranks for pair in rank.pairs]))
        return [[[float(score), bool(greedy)] for score, greedy in _take(scores, len(r.pairs))] for r in ranks]

    def _run(self, kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        instances = [self._instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]
        return list(getattr(self._model, kind)(instances, disable_tqdm=True))


def _take(items: Iterator[Any], count: int) -> list[Any]:
    return [next(items) for _ in range(count)]


def _generation(request: Generate) -> tuple[str, dict[str, Any]]:
    return request.prompt, {"until": list(request.stop), "max_gen_toks": request.max_tokens, "do_sample": False}


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process that are in memory ("VmHWM": at most, since `reset_peak`). Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field)))


def reset_peak() -> None:
    """Give free memory back, and count the peak anew."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What the work gives, and its processor seconds (of all threads), wall seconds, and bytes of growth at most."""
    reset_peak()
    before = resident()
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    cost = {"busy": time.process_time() - busy, "wall": time.perf_counter() - wall}
    return result, {**cost, "growth": max(0, resident("VmHWM") - before)}


def matmul_rate(seconds: float = 1.0, size: int = 1024) -> float:
    """Floating-point operations of square float32 products a second of processor time, on the threads that answer."""
    first, second = torch.randn(size, size), torch.randn(size, size)
    first @ second
    begun, count = time.process_time(), 0
    while time.process_time() - begun < seconds:
        first @ second
        count += 1
    return 2.0 * size**3 * count / (time.process_time() - begun)


def requests_of(plain: list[dict[str, Any]]) -> list[Request]:
    """The requests as `plain_requests` wrote them."""
    return [
        Rank(pairs=tuple(tuple(pair) for pair in one["pairs"]))
        if "pairs" in one
        else Generate(**{**one, "stop": tuple(one["stop"])})
        for one in plain
    ]


def main() -> None:
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no result
    warnings.simplefilter("ignore")
    job = json.loads(Path(sys.argv[2]).read_text("utf-8"))
    requests = requests_of(job["requests"])
    side: Side = (Ours if sys.argv[1] == "ours" else Theirs)(job)
    answers: list[Answer] = []
    result: dict[str, Any]
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "answer":
            subset = requests[: command["limit"]]
            side.prepare(command["batch"])
            answers, result = measured(partial(side.answer, subset))
        else:
            result = {"answers": answers} if command["do"] == "answers" else {"rate": matmul_rate()}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main()
