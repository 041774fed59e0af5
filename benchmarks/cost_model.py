"""Predict the seconds and the memory of runs from their tokens, by coefficients of two short runs on this machine, and
hold that against runs of more examples, shots and candidates. Prints predicted and measured, and their ratio.

    python benchmarks/cost_model.py                               the tiny base (make bench-cost; some minutes)
    python benchmarks/cost_model.py --model DIR --tasks rte,boolq,copa,dialogsum --scale 0.25 --runs 2
    python benchmarks/cost_model.py --workers 2                   and the largest run by the engine ray, by the clock

Seconds are of processor time on one thread, which a busy machine does not move; on one that does nothing else they are
seconds by the clock. The prediction of a run rests on its requests and on the two short runs alone; how long answers
will be is taken from these.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from scipy.optimize import nnls

from evalharness.checkpoints.open_model import from_pretrained
from evalharness.engines.base import factory_of
from evalharness.engines.hf.trie import prefix_length
from evalharness.json_text import parse_json
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.requests import Generate, Generation, PreparedTask, Rank
from evalharness.records.tokenizers import TokenSplitter
from evalharness.run.collect import blocks
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan
from evalharness.run.prompts import make_prompts
from evalharness.store import Store

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "fixtures" / "models" / "tiny-base"
ROWS = ROOT / "fixtures" / "world" / "rows"
TASKS = (
    *"sst2 cola rte boolq copa demo_mmlu bigbench_language_identification_multiple_choice".split(),
    *"bigbench_logical_deduction_multiple_choice bigbench_repeat_copy_logic_generate_until".split(),
    *"dialogsum wmt14-en-fr topics".split(),
)
PIECES = ("tasks", "requests", "tokens", "depth", "scored", "texts", "written")
HELD = 4096  # bytes a response by which peaks of the tiny base grew from 8 to 200 examples, allocators' gaps included


@dataclass(frozen=True)
class Run:
    """How many examples a task, shots, and LoRA candidates beside the base."""

    examples: int
    shots: int
    candidates: int

    def __str__(self) -> str:
        return f"{self.examples} × {self.shots} shots, base + {self.candidates}"


SHORT = (Run(8, 0, 1), Run(24, 2, 1))
LONG = (Run(64, 0, 1), Run(64, 5, 1), Run(64, 0, 3), Run(200, 0, 1))


class Clock:
    """Listens to a run, and keeps the processor seconds of each of its phases."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._phase, self._since = "", time.process_time()

    def phase(self, text: str) -> None:
        now = time.process_time()
        self.seconds[self._phase] += now - self._since
        self._phase, self._since = text, now

    def expect(self, requests: int) -> None: ...
    def advance(self, stored: int, computed: int) -> None: ...
    def notice(self, text: str) -> None: ...


@dataclass
class Measured:
    """One run: seconds by model and task, the others by phase, peak bytes by model, tokens of written answers by task,
    and what its requests are made of by task.
    """

    tasks: dict[tuple[str, str], float]
    rest: defaultdict[str, float]
    clock: float
    peaks: dict[str, int]
    answer_tokens: dict[str, float]
    pieces: dict[str, dict[str, float]]
    characters: float

    @property
    def total(self) -> float:
        return sum(self.tasks.values()) + sum(self.rest.values())


def pieces_of(task: PreparedTask, ids: Any) -> dict[str, float]:
    """What answering a task is made of: distinct requests; tokens that are read, each shared beginning once a block;
    `depth`: the sum of their positions, which attention grows with; places that are scored; texts that are written.
    """
    sums = defaultdict(float, tasks=1.0)
    for block in blocks(task.requests):
        fed: list[tuple[int, ...]] = []
        for request in block.values():
            sums["requests"] += 1
            if isinstance(request, Rank):
                pairs = [(context, ids(context), ids(text)) for context, text in request.pairs]
                fed += [(*context, *continuation)[:-1] for _, context, continuation in pairs]
                sums["scored"] += len({(text, more[:n]) for text, _, more in pairs for n in range(len(more))})
            elif isinstance(request, Generate):
                sums["texts"] += 1
                fed.append(ids(request.prompt))
        fed.sort()
        for before, own in pairwise([(), *fed]):
            shared = prefix_length(before, own)
            sums["tokens"] += len(own) - shared
            sums["depth"] += (len(own) ** 2 - shared**2) / 2
    return dict(sums)


def add_lora(base: Path, folder: Path, seed: int) -> Path:
    """Write a LoRA candidate that changes answers a little."""
    torch.manual_seed(seed)
    model = get_peft_model(from_pretrained(base), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    model.save_pretrained(str(folder))
    return folder


@dataclass
class Bench:
    """A base and its candidates, on disk; makes the jobs of runs."""

    folder: Path
    base: Path
    scale: float
    tasks: Sequence[str] = TASKS
    loras: list[Path] = field(default_factory=list)

    def job(self, run: Run, **more: Any) -> Job:
        while len(self.loras) < run.candidates:
            number = len(self.loras)
            self.loras.append(add_lora(self.base, self.folder / f"lora-{number}", number))
        name = f"{run.examples}-{run.shots}-{run.candidates}-{len(more)}"
        return make_job(
            [f"lora-{number}={path}" for number, path in enumerate(self.loras[: run.candidates])],
            base=f"base={self.base}",
            tasks=self.tasks,
            data_dir=ROWS,
            split="test",
            device="cpu",
            limit=max(2, round(run.examples * self.scale)),
            num_fewshot=run.shots,
            target="none",
            out=self.folder / name,
            store=self.folder / f"{name}.sqlite",
            **more,
        )

    def requests(self, job: Job) -> tuple[PreparedTask, ...]:
        run_plan = make_run_plan(job)
        return make_prompts(job, run_plan, factory_of(job.engine)).by_model[run_plan.base.name]

    def pieces(self, job: Job) -> tuple[dict[str, dict[str, float]], float]:
        """What the requests are made of, by task, and their characters."""
        run_plan = make_run_plan(job)
        factory: Any = factory_of(job.engine)
        count = factory.token_counter(run_plan.base)
        assert isinstance(count, TokenSplitter)
        prepared = self.requests(job)
        requests = [request for task in prepared for request in task.requests]
        contexts = [request.pairs[0][0] for request in requests if isinstance(request, Rank)]
        prompts = [request.prompt for request in requests if isinstance(request, Generate)]
        characters = sum(map(len, contexts + prompts))
        return {task.task.name: pieces_of(task, count.token_ids) for task in prepared}, characters

    def measured(self, run: Run) -> Measured:
        job, clock = self.job(run), Clock()
        pieces, characters = self.pieces(job)
        begun = time.perf_counter()
        clock.phase("start")
        evaluate(job, clock)
        clock.phase("")
        seconds = time.perf_counter() - begun
        tasks, rest = dict[tuple[str, str], float](), defaultdict[str, float](float)
        for phase, used in clock.seconds.items():
            model, _, task = phase.partition(": ")
            if task in pieces:
                tasks[model, task] = used
            elif phase:
                rest[phase.split()[0]] += used
        facts = parse_json((job.output.folder / "run.json").read_bytes())
        peaks = {name: row["peak_process_bytes"] for name, row in facts["models"].items()}
        return Measured(tasks, rest, seconds, peaks, self._written_tokens(job), pieces, characters)

    def _written_tokens(self, job: Job) -> dict[str, float]:
        """Tokens of a task's written answers, over all models."""
        run_plan, factory = make_run_plan(job), factory_of(job.engine)
        sums = defaultdict[str, float](float)
        with Store(job.output.store) as store:
            for task in self.requests(job):
                keys = [request.id for request in task.requests if isinstance(request, Generate)]
                for model in run_plan.checkpoints if keys else ():
                    info = factory.describe(model, job.engine)
                    answers = store.read(model.fingerprint, info.fingerprint, keys).values()
                    tokens = sum(answer.tokens for answer in answers if isinstance(answer, Generation))
                    sums[task.task.name] += tokens
        return dict(sums)


@dataclass
class CostModel:
    """Coefficients: seconds of each piece of answering, for the base and for an adapter on it; `first`: what a model's
    first task costs beyond its pieces (the engine tries out how the model can be asked); seconds of the rest.
    """

    seconds: dict[str, np.ndarray[Any, Any]]
    first: dict[str, float]
    lengths: dict[str, float]  # tokens of a written answer, by task
    rest: dict[str, float]
    short: Measured

    @classmethod
    def fitted(cls, runs: Sequence[Measured]) -> CostModel:
        """Least squares of relative errors, no coefficient below 0."""
        lengths = {
            task: sum(run.answer_tokens[task] for run in runs) / sum(2 * run.pieces[task]["requests"] for run in runs)
            for task in runs[0].answer_tokens
        }
        seconds, first = {}, {}
        for kind in ("base", "lora-0"):
            own = [[(task, used) for (model, task), used in run.tasks.items() if model == kind] for run in runs]
            vectors = [
                [vector(run.pieces[task], lengths.get(task, 0.0)) for task, _ in of_run]
                for run, of_run in zip(runs, own, strict=True)
            ]
            amounts = np.array([each for of_run in vectors for each in of_run[1:]])
            used = np.array([used for of_run in own for _, used in of_run[1:]])
            scale = np.maximum(amounts.max(axis=0), 1e-9)
            seconds[kind] = nnls(amounts / scale / used[:, None], np.ones(len(used)))[0] / scale
            more = [of_run[0][1] - seconds[kind] @ each[0] for of_run, each in zip(own, vectors, strict=True)]
            first[kind] = max(0.0, float(np.mean(more)))
        rest = {phase: statistics.mean(run.rest[phase] for run in runs) for phase in runs[0].rest}
        return cls(seconds, first, lengths, rest, runs[-1])

    def answering(self, pieces: Mapping[str, Mapping[str, float]], kind: str) -> float:
        """Seconds of one model's answers, measured and written down."""
        return self.first[kind] + sum(
            float(self.seconds[kind] @ vector(of_task, self.lengths.get(task, 0.0))) for task, of_task in pieces.items()
        )

    def total(self, pieces: Mapping[str, Mapping[str, float]], characters: float, candidates: int) -> float:
        """Seconds of a whole run. Checking, loading and proving go with the models, prompts with their characters."""
        answers = self.answering(pieces, "base") + candidates * self.answering(pieces, "lora-0")
        rest = dict(self.rest)
        rest["making"] = rest.get("making", 0.0) * characters / self.short.characters
        models = (1 + candidates) / 2
        return answers + sum(used * (1 if phase in ("start", "making") else models) for phase, used in rest.items())

    def peak(self, pieces: Mapping[str, Mapping[str, float]]) -> float:
        """Bytes of the process in a candidate's turn: those of the short run, and what more responses hold."""
        more = sum(each["requests"] for each in pieces.values())
        less = sum(each["requests"] for each in self.short.pieces.values())
        return self.short.peaks["lora-0"] + 2 * HELD * max(0.0, more - less)


def vector(pieces: Mapping[str, float], length: float) -> list[float]:
    amounts = {**pieces, "written": pieces.get("texts", 0.0) * length}
    return [amounts.get(name, 0.0) for name in PIECES]


def lines(bench: Bench, model: CostModel, runs: Sequence[Run], workers: int) -> Iterator[str]:
    yield "| run | tokens read a model | answering: predicted s | measured | ratio | whole: predicted s | measured | ratio | peak MiB: predicted | measured | ratio |"  # noqa: E501
    yield "|---" * 11 + "|"
    for run in runs:
        measured = bench.measured(run)
        answering = sum(
            model.answering(measured.pieces, kind) * n for kind, n in (("base", 1), ("lora-0", run.candidates))
        )
        used, total = sum(measured.tasks.values()), model.total(measured.pieces, measured.characters, run.candidates)
        peak, measured_peak = model.peak(measured.pieces) / 2**20, measured.peaks["lora-0"] / 2**20
        tokens = sum(each["tokens"] for each in measured.pieces.values())
        pairs = ((answering, used, ".1f"), (total, measured.total, ".1f"), (peak, measured_peak, ",.0f"))
        cells = [f"{a:{form}} | {b:{form}} | {a / b:.2f}" for a, b, form in pairs]
        yield f"| {run} | {tokens:,.0f} | {' | '.join(cells)} |"
    if workers > 1:
        yield by_workers(bench, model, measured, run, workers)


def clock_by_workers(bench: Bench, run: Run, workers: int) -> float:
    """Seconds by the clock of the run, answered by Ray's workers."""
    job = bench.job(run, engine="ray", engine_options={"workers": str(workers)})
    begun = time.perf_counter()
    evaluate(job)
    return time.perf_counter() - begun


def by_workers(bench: Bench, model: CostModel, alone: Measured, run: Run, workers: int) -> str:
    """Predict the run's seconds with Ray's workers: answers are divided among them, all else is not, and what Ray and
    the workers take to start is what the shorter run took beyond that.
    """

    def divided(measured: Measured, candidates: int) -> float:
        answering = model.answering(measured.pieces, "base") + candidates * model.answering(measured.pieces, "lora-0")
        return model.total(measured.pieces, measured.characters, candidates) - answering * (1 - 1 / workers)

    start = clock_by_workers(bench, SHORT[-1], workers) - divided(model.short, SHORT[-1].candidates)
    predicted, seconds = start + divided(alone, run.candidates), clock_by_workers(bench, run, workers)
    return (
        f"{run} by {workers} workers, by the clock: predicted {predicted:.1f} s ({start:.1f} s of Ray's start, "
        f"from a run of {SHORT[-1]}), measured {seconds:.1f} s, ratio {predicted / seconds:.2f}; "
        f"by one process {alone.clock:.1f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=TINY)
    parser.add_argument("--scale", type=float, default=1.0, help="of the examples of every run")
    parser.add_argument("--tasks", default=",".join(TASKS), help="of the embedded world")
    parser.add_argument("--runs", type=int, default=len(LONG), help="how many of the longer runs")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="cost-model-") as name:
        Bench(Path(name) / "first", TINY, 1.0).measured(replace(SHORT[0], examples=2))  # imports, and the like
        bench = Bench(Path(name), arguments.model, arguments.scale, arguments.tasks.split(","))
        model = CostModel.fitted([bench.measured(run) for run in SHORT])
        for kind, seconds in model.seconds.items():
            coefficients = ", ".join(
                f"{used * 1e6:,.3g} a {piece}" for piece, used in zip(PIECES, seconds, strict=True)
            )
            print(f"{kind}: microseconds {coefficients}", flush=True)
        for line in lines(bench, model, LONG[: arguments.runs], arguments.workers):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
