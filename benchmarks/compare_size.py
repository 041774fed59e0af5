"""Measure what `evalharness compare` takes for 100,000 paired examples over 100 tasks: seconds and peak memory.

It prints a row each for runs of ours, lm-eval's logs, and tables. The aim: under 10 seconds and 1 GiB on two cores.

    python benchmarks/compare_size.py [--examples 1000] [--keep DIR]

Of 100 tasks 57 are MMLU's subjects (and pooled as one gate unit), 13 more are 0/1, 15 graded with values of their own
for every example, 9 F1, 5 Matthews correlation and one BLEU. A table holds one score an example, so there the last 15
are 0/1, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalharness.analysis.margins import with_margins
from evalharness.imports.runs import read_logs
from evalharness.results import write_measurements
from evalharness.tasks.library import Library

AIM_SECONDS, AIM_BYTES = 10.0, 1 << 30
DATE = "2026-01-02T03-04-05.678901"
WORDS = (
    "the a cat dog house tree river stone sees likes builds paints old new red green quickly slowly today and under "
    "behind"
).split()
MODELS = {"base": 0.0, "first": 0.1, "second": 0.12}  # and the share of answers that differ from the base's
BASE_RIGHT = 0.7


@dataclass(frozen=True)
class Drawn:
    """One task: what was asked, what is right, and what each model answered: labels (0 to 3), values in 0-1, or
    texts.
    """

    name: str
    metric: str
    questions: list[str]
    gold: list[Any]
    answers: dict[str, list[Any]]

    def value(self, model: str, at: int) -> Any:
        """As lm-eval logs it."""
        gold, answer = self.gold[at], self.answers[model][at]
        return {"acc": float(gold == answer), "rougeL": answer}.get(self.metric, [gold, answer])


def kinds() -> dict[str, str]:
    """The metric that decides each task."""
    deciding = dict.fromkeys(Library().group("mmlu").tasks, "acc")
    for metric, count in (("acc", 13), ("rougeL", 15), ("f1", 9), ("mcc", 5), ("bleu", 1)):
        deciding |= {f"drawn_{metric}_{number}": metric for number in range(count)}
    return deciding


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, size=words))


def draw(name: str, metric: str, examples: int, rng: np.random.Generator) -> Drawn:
    questions = [f"{number}: {sentence(rng, 30)}" for number in range(examples)]
    if metric == "bleu":
        gold: list[Any] = [sentence(rng, 12) for _ in range(examples)]
    elif metric == "rougeL":
        gold = rng.uniform(size=examples).tolist()
    else:
        gold = rng.integers(0, 4 if metric == "acc" else 2, size=examples).tolist()
    answers: dict[str, list[Any]] = {}
    for model, share in MODELS.items():
        before = answers.get("base", gold)
        other = rng.uniform(size=examples) < (share or 1 - BASE_RIGHT)
        answers[model] = [_another(before[i], metric, rng) if other[i] else before[i] for i in range(examples)]
    return Drawn(name, metric, questions, gold, answers)


def _another(answer: Any, metric: str, rng: np.random.Generator) -> Any:
    if metric == "bleu":
        return f"{answer} {sentence(rng, 2)}"
    if metric == "rougeL":
        return float(rng.uniform())
    return int(answer + 1 + rng.integers(0, 3)) % 4 if metric == "acc" else 1 - answer


# ---- the same in three forms -----------------------------------------------------------------------------------------


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def lines(task: Drawn, model: str) -> Iterator[str]:
    """lm-eval's lines: one continuation each of four choices, or of two, or a text written."""
    choices = {"acc": 4, "f1": 2, "mcc": 2}.get(task.metric, 1)
    for at, question in enumerate(task.questions):
        prompt, target, value = f"Question: {question}\nAnswer:", str(task.gold[at]), task.value(model, at)
        values = {task.metric: value} | ({"acc": float(value[0] == value[1])} if task.metric in ("f1", "mcc") else {})
        stop: Any = {"until": ["\n"], "do_sample": False}
        arguments = [{"arg_0": prompt, "arg_1": f" {i}" if choices > 1 else stop} for i in range(choices)]
        line = {
            "doc_id": at,
            "doc": {"question": question, "subject": task.name, "answer": task.gold[at]},
            "target": target,
            "arguments": {f"gen_args_{i}": each for i, each in enumerate(arguments)},
            "resps": [[["-1.25", "False"]]] * choices,
            "filtered_resps": [["-1.25", "False"]] * choices,
            "filter": "none",
            "metrics": list(values),
            "doc_hash": digest(question),
            "prompt_hash": digest(prompt),
            "target_hash": digest(target),
            **values,
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def write_logs(folder: Path, tasks: list[Drawn]) -> None:
    for model in MODELS:
        (folder / model / model).mkdir(parents=True)
        for task in tasks:
            with (folder / model / model / f"samples_{task.name}_{DATE}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(lines(task, model))


def write_tables(folder: Path, tasks: list[Drawn]) -> None:
    for model in ("base", "second"):
        columns: dict[str, list[Any]] = {"task": [], "id": [], "score": []}
        for task in tasks:
            columns["task"] += [task.name] * len(task.questions)
            columns["id"] += list(range(len(task.questions)))
            answers = zip(task.gold, task.answers[model], strict=True)
            columns["score"] += (
                task.answers[model] if task.metric == "rougeL" else [float(gold == answer) for gold, answer in answers]
            )
        frame = pd.DataFrame(columns)
        frame.to_csv(folder / f"{model}.csv", index=False)
        frame.to_parquet(folder / f"{model}.parquet")


def write_runs(folder: Path) -> None:
    """Two runs that share their base, as `evalharness run` leaves them for `compare`."""
    for candidate in ("first", "second"):
        run, _ = read_logs([str(folder / "base"), str(folder / candidate)], {"drawn_bleu_0": 1.0})
        run = with_margins(run, None, {"drawn_bleu_0": 1.0})
        signature = {**run.signature, "engine": {"name": "drawn", "fingerprint": "drawn"}}
        out = folder / f"run-{candidate}"
        out.mkdir()
        write_measurements(out, replace(run, signature=signature))


def write(folder: Path, examples: int) -> None:
    """Everything that is compared; always the same for a number of examples."""
    rng = np.random.default_rng(7)
    tasks = [draw(name, metric, examples, rng) for name, metric in kinds().items()]
    write_logs(folder, tasks)
    write_tables(folder, tasks)
    write_runs(folder)


# ---- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskOutcome:
    seconds: float
    busy: float  # seconds of processor time, of all cores
    peak: int  # bytes
    scores: dict[tuple[str, str], tuple[float, float]]  # (task, metric) -> base's and candidate's


def compare(out: Path, *arguments: str) -> TaskOutcome:
    """`evalharness compare` as a process of its own. Raises RuntimeError with what it said where it does not end with
    0.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "evalharness", "compare", *arguments, "--out", str(out)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read().decode(errors="replace"))
    rows = json.loads((out / "results.json").read_text("utf-8"))["comparisons"]
    scores = {
        (row["task"], row["metric"]): (row["base"]["value"], row["candidate_score"]["value"])
        for row in rows
        if row["level"] == "task"
    }
    return TaskOutcome(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, scores)


def report(folder: Path, examples: int) -> int:
    """Print the table; 1 where the aim is missed or two forms of the same answers got different scores."""
    forms = {
        "one run": (str(folder / "run-second"),),
        "two runs": (str(folder / "run-first"), f"{folder / 'run-second'}#second"),
        "lm-eval's logs": (str(folder / "base"), str(folder / "second"), "--margin", "drawn_bleu_0=1"),
        "tables, parquet": (str(folder / "base.parquet"), str(folder / "second.parquet")),
        "tables, CSV": (str(folder / "base.csv"), str(folder / "second.csv")),
    }
    tasks = len(kinds())
    print(f"{tasks * examples:,} paired examples over {tasks} tasks, {os.cpu_count()} cores")
    print(f"{'':16}  seconds  processor s  peak MiB")
    results: dict[str, TaskOutcome] = {}
    for name, arguments in forms.items():
        results[name] = each = compare(folder / f"out-{len(results)}", *arguments)
        print(f"{name:16}  {each.seconds:7.1f}  {each.busy:11.1f}  {each.peak / 2**20:8.0f}", flush=True)
    alike = all(results[name].scores == results["one run"].scores for name in ("two runs", "lm-eval's logs"))
    print(f"scores of runs and logs are {'the same' if alike else 'NOT THE SAME'}")
    return 0 if alike and all(each.seconds < AIM_SECONDS and each.peak < AIM_BYTES for each in results.values()) else 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=1000, help="of each of the 100 tasks")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the drawn files and results, to look at (else a temporary one)"
    )
    parser.add_argument("--write", action="store_true", help="only write the drawn files to --keep")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.keep, arguments.examples)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: a child's peak is never reported as less than its parent held when it was started.
        again = [sys.executable, __file__, "--write", "--keep", str(folder), "--examples", str(arguments.examples)]
        subprocess.run(again, check=True)
        return report(folder, arguments.examples)


if __name__ == "__main__":
    sys.exit(main())
