"""Define the workloads in which whole processes are measured, start included, and the scoring of summaries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import models
import table
from duel import HERE, environment
from texts import SHOTS, Writer, write_task
from workloads import Bench, Workload

TASKS = ("whole_letters", "whole_choices", "whole_documents")
QUESTIONS = 10  # of each task
BATCHES = (4, 16)  # of lm-eval; the better one on the base is taken
METRICS = {"acc": "acc,none", "exact_match": "exact_match,none"}
Cost = dict[str, float]
Scores = dict[tuple[str, str], float]  # (model, task)


def run_process(command: Sequence[str], env: Mapping[str, str]) -> Cost:
    """Seconds of a process and of those that it started, of processor and wall time. Raises RuntimeError with what it
    said where it does not end with 0.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read().decode(errors="replace")[-3000:])
    return {"busy": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - begun}


def sum_of(costs: Sequence[Cost]) -> Cost:
    return {key: sum(cost[key] for cost in costs) for key in ("busy", "wall")}


class Scene:
    """Task files and models of these workloads, and how either harness is called on them."""

    def __init__(self, bench: Bench, questions: int) -> None:
        self.bench, self.folder = bench, bench.folder / "whole"
        shutil.rmtree(self.folder, ignore_errors=True)
        count, writer = bench.count(questions), Writer(5)
        shots = [writer.letters() for _ in range(SHOTS)]
        letters = {"dev": shots, "test": [writer.letters() for _ in range(count)]}
        write_task(self.folder, TASKS[0], "letters", letters)
        write_task(self.folder, TASKS[1], "ranked", {"test": [writer.ranked(4, 4) for _ in range(count)]})
        documents = [writer.document() for _ in range(count)]
        write_task(self.folder, TASKS[2], "document", {"test": documents}, models.STOP)
        self.base = bench.model("30M")
        makers: dict[str, Callable[[Path], None]] = {
            "full": partial(models.make_full, base=self.base),
            "lora": partial(models.make_lora, base=self.base, seed=20),
            "lora2": partial(models.make_lora, base=self.base, seed=21),
            "prompt": partial(models.make_prompt, base=self.base),
        }
        root = bench.folder / "models"
        self.candidates = {name: models.cached(root / f"30M-{name}", make) for name, make in makers.items()}

    def ours(self, home: Path, names: Sequence[str], tasks: Sequence[str]) -> Cost:
        """One run with a cache and store of its own in `home`."""
        command = [sys.executable, "-m", "evalharness", *self.arguments(home, names, tasks)]
        return run_process(command, self.environment(home))

    def arguments(self, home: Path, names: Sequence[str], tasks: Sequence[str]) -> list[str]:
        """Of our command line."""
        options = [f"--model={name}={self.candidates[name]}" for name in names] + [f"--task={task}" for task in tasks]
        options += [f"--base=base={self.base}", f"--include-path={self.folder / 'tasks'}", f"--out={home / 'out'}"]
        return ["run", *options, "--device=cpu", "--quiet"]

    def environment(self, home: Path) -> dict[str, str]:
        """Of our run, whose cache and store are in `home`."""
        env = environment(self.bench.threads) | {"XDG_CACHE_HOME": str(home / "cache"), "HOME": str(home)}
        env["MPLCONFIGDIR"] = str(self.bench.folder / "matplotlib")  # its list of the machine's fonts is made once
        env.pop("EVALHARNESS_STORE", None)
        return env

    def theirs(self, out: Path, name: str, tasks: Sequence[str], batch: int) -> Cost:
        """One run of lm-eval, with logs; what `datasets` keeps of the rows is kept from run to run."""
        adapter = self.candidates[name] if name in ("lora", "lora2", "prompt") else None
        model = self.candidates[name] if name == "full" else self.base
        arguments = f"pretrained={model},dtype=float32" + (f",peft={adapter}" if adapter else "")
        options = ["--model=hf", f"--model_args={arguments}", "--device=cpu", f"--tasks={','.join(tasks)}"]
        options += [f"--batch_size={batch}", f"--include_path={self.folder / 'tasks'}", f"--output_path={out / name}"]
        options += ["--log_samples"]
        env = environment(self.bench.threads) | {"HF_HOME": str(self.bench.folder / "hf")}
        return run_process([sys.executable, "-m", "lm_eval", *options], env)

    def batch(self, tasks: Sequence[str]) -> int:
        """The batch size by which lm-eval takes least processor time for the base."""
        costs = {size: self.theirs(self.folder / "sweep", "base", tasks, size)["busy"] for size in BATCHES}
        return min(costs, key=lambda size: costs[size])


def our_scores(out: Path) -> Scores:
    """The scores of a run of ours."""
    scores: Scores = {}
    for row in json.loads((out / "results.json").read_text("utf-8"))["comparisons"]:
        if row["level"] == "task" and row["metric"] in METRICS:
            scores["base", row["task"]] = row["base"]["value"]
            scores[row["candidate"], row["task"]] = row["candidate_score"]["value"]
    return scores


def their_scores(out: Path) -> Scores:
    """The scores of runs of lm-eval, each in a folder that has the model's name."""
    scores: Scores = {}
    for path in out.glob("*/**/results_*.json"):
        for task, values in json.loads(path.read_text("utf-8"))["results"].items():
            key = next(key for key in METRICS.values() if key in values)
            scores[path.relative_to(out).parts[0], task] = values[key]
    return scores


def result_of(workload: Workload, ours: Sequence[Cost], theirs: Sequence[Cost], **more: Any) -> table.Result:
    busy = [cost["busy"] for cost in ours], [cost["busy"] for cost in theirs]
    return table.Result(
        workload=workload.name,
        model=workload.model,
        ratio=table.ratio(*busy),
        floor=workload.floor,
        goal=workload.goal,
        median_ours=median(busy[0]),
        median_theirs=median(busy[1]),
        wall_ours=median(cost["wall"] for cost in ours),
        wall_theirs=median(cost["wall"] for cost in theirs),
        rounds=len(ours),
        **more,
    )


def measure(
    names: Sequence[str],
    against: Sequence[str],
    tasks: Sequence[str],
    stored: str | None,
    questions: int,
    bench: Bench,
    workload: Workload,
) -> table.Result:
    """Our run of the candidates `names` and the base against lm-eval's runs of the models `against`. `stored`: the
    candidate of an untimed run before, after which the base's answers are kept.
    """
    scene = Scene(bench, questions)
    batch = scene.batch(tasks)
    if stored:
        scene.ours(scene.folder / "before", [stored], tasks)
    costs: dict[str, list[Cost]] = {"ours": [], "theirs": []}
    for number in range(bench.rounds):
        home, out = scene.folder / f"ours-{number}", scene.folder / f"theirs-{number}"
        if stored:
            shutil.copytree(scene.folder / "before", home, ignore=shutil.ignore_patterns("out"))
        for side in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
            if side == "ours":
                costs[side].append(scene.ours(home, names, tasks))
            else:
                costs[side].append(sum_of([scene.theirs(out, name, tasks, batch) for name in against]))
    our, their = our_scores(home / "out"), their_scores(out)
    both = our.keys() & their.keys()
    differing = sum(abs(our[key] - their[key]) > 1e-6 for key in both)
    count = len(tasks) * bench.count(questions)
    return result_of(workload, costs["ours"], costs["theirs"], differing=differing, batch_theirs=batch, requests=count)


def rouge(bench: Bench, workload: Workload) -> table.Result:
    """10,000 summaries against rouge-score; the time of starting is no part of it."""
    count = bench.count(10_000) if bench.most is None else 100 * bench.most
    costs: dict[str, list[Any]] = {"ours": [], "theirs": []}
    for number in range(bench.rounds):
        for side in ("ours", "theirs") if number % 2 == 0 else ("theirs", "ours"):
            command = [sys.executable, str(HERE / "summaries.py"), side, str(count)]
            process = subprocess.run(command, env=environment(1), stdout=subprocess.PIPE, text=True, check=True)
            costs[side].append(json.loads(process.stdout))
    pairs = zip(costs["ours"][-1]["scores"], costs["theirs"][-1]["scores"], strict=True)
    gaps = [max(abs(a - b) for a, b in zip(our, their, strict=True)) for our, their in pairs]
    return result_of(
        workload,
        costs["ours"],
        costs["theirs"],
        max_difference=max(gaps),
        differing=sum(gap > 0 for gap in gaps),
        requests=count,
    )


def _processes(
    name: str,
    targets: tuple[float, float],
    names: Sequence[str],
    against: Sequence[str],
    tasks: Sequence[str] = TASKS,
    stored: str | None = None,
    questions: int = QUESTIONS,
) -> Workload:
    work = partial(measure, names, against, tasks, stored, questions)
    return Workload(name=name, model="30M", floor=targets[0], goal=targets[1], measure=work)


FOUR = ("full", "lora", "prompt")
WHOLE = (
    _processes("base and three candidates, whole processes", (3.5, 5), FOUR, ("base", *FOUR)),
    _processes("one more LoRA, base stored, whole processes", (5, 8), ["lora2"], ("base", "lora2"), stored="lora"),
    _processes("one document, whole processes", (2, 4), ["full"], ["base"], TASKS[:1], questions=1),
    Workload(name="ROUGE of summaries", model="–", floor=8, goal=12, measure=rouge),
)
