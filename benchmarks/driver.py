"""Measure what a run takes beside its model, with an engine that answers at once and a store on disk.

It prints responses a second through the whole path (requests, collect, store, measure, samples), each part alone, and
bytes. The aim: 5,000 responses a second on two cores.

    python benchmarks/driver.py                      (make bench-driver; a minute)
    python benchmarks/driver.py --against CHECKOUT   and another checkout of this repository in alternating rounds
    python benchmarks/driver.py --profile FILE       one round under cProfile; `python -m pstats FILE` reads it

Making prompts is measured apart, since it is done once for all models. Comparing has a benchmark of its own
(benchmarks/compare_size.py). On a busy machine look at the column of processor time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalharness import fingerprint, peak_memory, results
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.job_options import make_job
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Generate, Generation, PreparedTask, Rank, Ranking, Request, Response, Scoring
from evalharness.run.collect import blocks
from evalharness.run.engine_slot import EngineSlot
from evalharness.run.measure import measure
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import SilentListener
from evalharness.run.prompts import make_prompts
from evalharness.run.run_log import RunLog
from evalharness.run.session import RunContext, Session
from evalharness.store import Store

ROOT = Path(__file__).resolve().parents[1]
BASE = ROOT / "fixtures" / "models" / "tiny-base"
ROWS = ROOT / "fixtures" / "world" / "rows"
TASKS = (
    "sst2 cola rte boolq copa demo_mmlu bigbench_language_identification_multiple_choice "
    "bigbench_logical_deduction_multiple_choice bigbench_repeat_copy_logic_generate_until dialogsum wmt14-en-fr topics"
).split()
KEY = "m" * 64, "e" * 64  # fingerprints of a model and an engine, where the store is alone
SYNCS = 32
AIM = 5000  # responses a second through the whole path, all of them computed


def answer_to(request: Request, example: Any, wrong: bool) -> Response:
    """A right answer, or a wrong one."""
    if isinstance(request, Rank):
        best = (example.gold[0] + wrong) % len(request.pairs)
        logprobs = tuple(-0.1234567890123456 - (i != best) - i / 7 for i in range(len(request.pairs)))
        greedy = tuple(i == best for i in range(len(request.pairs)))
        return Ranking(request_id=request.id, logprobs=logprobs, tokens=tuple(3 for _ in greedy), greedy=greedy)
    if isinstance(request, Generate):
        text = " ".join(example.references[0].split()[wrong * 3 :])
        return Generation(request_id=request.id, text=text, finish_reason="stop", tokens=len(text.split()))
    return Scoring(request_id=request.id, logprob=-12.5, tokens=5)


class InstantEngine:
    """Gives answers that were made before."""

    def __init__(self, info: EngineInfo, answers: dict[int, Response]) -> None:
        self.info, self._answers = info, answers

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        return (self._answers[id(request)] for request in requests)

    def close(self) -> None: ...


@dataclass
class InstantFactory:
    """Opens InstantEngines, by checkpoint name; prompts are counted by the model's own tokenizer, as in any run."""

    answers: dict[str, dict[int, Response]] = field(default_factory=dict)

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo(name="instant", details={})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> InstantEngine:
        return InstantEngine(self.describe(checkpoint, settings), self.answers[checkpoint.name])

    def token_counter(self, checkpoint: Checkpoint) -> Any:
        return FACTORY.token_counter(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> None:
        return None


class Bench:
    """Tasks made ready, models that share the tiny base's files under other fingerprints, and their answers."""

    def __init__(self, folder: Path, models: int, limit: int | None) -> None:
        self.folder, self.factory = folder, InstantFactory()
        self.job = make_job(
            [f"candidate={BASE}"],
            tasks=TASKS,
            base=BASE,
            allow_noop=True,
            data_dir=ROWS,
            split="train",
            num_fewshot=0,
            limit=limit,
            out=folder / "out",
            store=folder / "store.sqlite",
        )
        run_plan = make_run_plan(self.job)
        base = run_plan.base
        assert isinstance(base, Checkpoint)
        self.models = [
            replace(base, name=f"model-{number}", fingerprint=fingerprint.of_value([base.fingerprint, number]))
            for number in range(models)
        ]
        self.prepared: tuple[PreparedTask, ...]

        def prepare() -> None:
            self.prepared = make_prompts(self.job, run_plan, self.factory).by_model[base.name]

        make_prompts(self.job, replace(run_plan, limit=1), self.factory)  # imports what it needs
        self.making = timed(prepare)
        for number, model in enumerate(self.models):
            self.factory.answers[model.name] = {
                id(request): answer_to(request, example, place % 10 < number)
                for task in self.prepared
                for place, (example, request) in enumerate(zip(task.examples, task.requests, strict=True))
            }

    @contextmanager
    def context(self) -> Iterator[RunContext]:
        info = self.factory.describe(self.models[0], self.job.engine)
        run_log = RunLog()
        store = Store(self.job.output.store)
        with store, EngineSlot(self.factory, self.job.engine, info, run_log) as slot:
            yield RunContext(
                job=self.job,
                slot=slot,
                info=info,
                store=store,
                listener=SilentListener(),
                run_log=run_log,
                base=self.models[0],
            )

    @property
    def responses(self) -> int:
        return len(self.models) * sum(len({request.id for request in task.requests}) for task in self.prepared)

    def run(self) -> None:
        """Every model's turn: what `evalharness run` does once its prompts are made."""
        with self.context() as context:
            for model in self.models:
                Session(context, model).measure(self.prepared)

    def answers(self, model: Checkpoint, task: PreparedTask) -> dict[str, Response]:
        of_model = self.factory.answers[model.name]
        return {request.id: of_model[id(request)] for request in task.requests}


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this process's processor time."""
    begun, used = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - begun, time.process_time() - used


def parts(bench: Bench) -> dict[str, tuple[float, float, int]]:
    """Each part alone, over one model's responses: seconds by the clock, of processor time, and how many there were."""
    model, tasks = bench.models[-1], bench.prepared
    answers = [bench.answers(model, task) for task in tasks]
    of_id = {key: answer for of_task in answers for key, answer in of_task.items()}
    in_blocks = [list(block) for task in tasks for block in blocks(task.requests)]
    unnamed = [replace(request) for task in tasks for request in task.requests]
    outcomes = [measure(task, of_task, model.name) for task, of_task in zip(tasks, answers, strict=True)]
    prompts = {text for text in map(prompt_of, unnamed) if text}
    count = bench.factory.token_counter(model)

    def write_samples() -> None:
        for task, outcome in zip(tasks, outcomes, strict=True):
            results.write_samples(bench.folder / "alone", task.task.name, model.name, outcome.samples)

    with Store(bench.folder / "alone.sqlite") as store:

        def write_store() -> None:
            for block in in_blocks:
                store.add(*KEY, [of_id[key] for key in block])

        store_actions: dict[str, tuple[Callable[[], object], int]] = {
            "store write": (write_store, len(of_id)),
            "store read": (lambda: [store.read(*KEY, block) for block in in_blocks], len(of_id)),
        }
        actions = store_actions | {
            "request ids": (lambda: [request.id for request in unnamed], len(unnamed)),
            "measure": (
                lambda: [measure(task, responses, model.name) for task, responses in zip(tasks, answers, strict=True)],
                len(unnamed),
            ),
            "samples": (write_samples, len(unnamed)),
            "prompts in tokens": (lambda: [count(prompt) for prompt in prompts], len(prompts)),
            "fsync of a block": (lambda: synced(bench.folder), SYNCS),
        }
        return {name: (*timed(action), amount) for name, (action, amount) in actions.items()}


def prompt_of(request: Request) -> str:
    return request.pairs[0][0] if isinstance(request, Rank) else request.prompt if isinstance(request, Generate) else ""


def synced(folder: Path) -> None:
    """Append 64 KiB to a file and have the disk confirm it, again and again."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(b"x" * 65536)
            file.flush()
            os.fsync(file.fileno())


def bytes_written() -> int:
    """What this process had disks write so far: all files with their logs; 0 where the system does not say."""
    path = Path("/proc/self/io")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)


def one_round(models: int, limit: int | None) -> dict[str, Any]:
    """Everything once, in this process."""
    with tempfile.TemporaryDirectory(prefix="driver-", dir=os.environ.get("DRIVER_DIR")) as name:
        folder = Path(name)
        bench = Bench(folder, models, limit)
        peak_memory.reset()
        before, wrote = peak_memory.process_peak(), bytes_written()
        first = timed(bench.run)
        memory, wrote = peak_memory.process_peak() - before, bytes_written() - wrote
        again = timed(bench.run)
        stored = sum(file.stat().st_size for file in folder.glob("store.sqlite*"))
        samples = sum(file.stat().st_size for file in (folder / "out").rglob("*.jsonl"))
        count = bench.responses
        paths = {"all computed": (*first, count), "all stored": (*again, count)}
        return {
            "paths": {**paths, "prompts made": (*bench.making, count // models), **parts(bench)},
            "stored": stored / count,
            "samples": samples / count,
            "memory": memory / count,
            "written to disk": wrote / count,
        }


def in_process(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One round by the package of a checkout, in a process of its own."""
    command = [sys.executable, __file__, "--once", "--models", str(options.models)]
    command += ["--limit", str(options.limit)] if options.limit else []
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(checkout)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    if process.returncode:
        sys.exit(process.stderr)
    return dict(json.loads(process.stdout.splitlines()[-1]))


def rate(rounds: Sequence[Mapping[str, Any]], path: str, clock: int) -> list[float]:
    """How many a second in each round; `clock` 0: by the clock, 1: of processor time."""
    return [each["paths"][path][2] / max(1e-9, each["paths"][path][clock]) for each in rounds]


def table(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Medians over the rounds; the last columns are medians of the paired rounds' ratios."""
    more = ("there", "ratio", "ratio of processor time") if there else ()
    yield " | ".join(["| a second", "by the clock", "of processor time", *more]) + " |"
    yield "|---" * (3 + len(more)) + "|"
    for path in here[0]["paths"]:
        wall, used = (rate(here, path, clock) for clock in (0, 1))
        cells = [path, f"{statistics.median(wall):,.0f}", f"{statistics.median(used):,.0f}"]
        if there:
            other = [rate(there, path, clock) for clock in (0, 1)]
            cells.append(f"{statistics.median(other[0]):,.0f}")
            for ours, theirs in zip((wall, used), other, strict=True):
                cells.append(f"{statistics.median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}")
        yield f"| {' | '.join(cells)} |"
    for kind in ("stored", "samples", "memory", "written to disk"):
        other_bytes = f" (there {there[0][kind]:,.0f})" if there else ""
        yield f"{kind}: {here[0][kind]:,.0f} bytes a response{other_bytes}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=4, help="the base and its candidates")
    parser.add_argument("--limit", type=int, help="examples a task; without it all rows of the world's train split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--profile", type=Path, metavar="FILE")
    parser.add_argument("--once", action="store_true", help="one round in this process, as JSON")
    options = parser.parse_args()
    if options.profile:
        with tempfile.TemporaryDirectory(prefix="driver-", dir=os.environ.get("DRIVER_DIR")) as name:
            bench, profile = Bench(Path(name), options.models, options.limit), cProfile.Profile()
            profile.runcall(bench.run)
            profile.dump_stats(options.profile)
        return 0
    if options.once:
        print(json.dumps(one_round(options.models, options.limit)))
        return 0
    here, there = [], []
    for _ in range(options.rounds):
        here.append(in_process(ROOT, options))
        there += [in_process(options.against, options)] if options.against else []
    print(
        f"{here[0]['paths']['all computed'][2]:,} responses of {options.models} models; load {os.getloadavg()[0]:.1f}"
    )
    print("\n".join(table(here, there)))
    reached = statistics.median(rate(here, "all computed", 0))
    print(f"{reached:,.0f} responses a second through the whole path (aim: {AIM:,})")
    return 0 if reached >= AIM else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
