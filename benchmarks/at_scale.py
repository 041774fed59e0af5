"""Estimate which part limits a run of the complete suites on many GPUs: GPUs, the run's own process, disk or network.

This is arithmetic: the measured rates come from benchmarks/driver.py, a GPU's are assumed and have to be given for
yours.

    python benchmarks/at_scale.py                                    100 GPUs, a model of 8 billion parameters
    python benchmarks/at_scale.py --gpus 8 --read 50000 --write 8000 --driver 6000
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evalharness.records.tasks import OutputType
from evalharness.tasks.library import Library

ROOT = Path(__file__).resolve().parents[1]
SUITES = ("mmlu", "glue", "superglue", "general", "bigbench_lite", "summarization", "forgetting-full")
CHARACTERS = 4.5  # of a token of English

# Tokens of a row's own question with its choices, by family, and of a shot: orders of magnitude, not counts. Rows and
# a tokenizer give the counts: `evalharness plan --base BASE`.
OWN = {"mmlu": 120, "glue": 60, "superglue": 160, "bigbench": 150, "bbh": 150, "summarization": 700, "translation": 40}
USUAL = 100
WRITTEN = {"summarization": 70, "translation": 35}
WRITTEN_USUAL = 30


@dataclass(frozen=True)
class Machine:
    """What is given. `read`, `write`: tokens of prompts and answers that one GPU reads and writes a second."""

    gpus: int
    read: float
    write: float
    driver: float  # responses that a run takes a second beside its engines
    prompts: float  # prompts that it makes a second, once for all models and before the first answer
    disk: float  # bytes that the store's disk takes a second
    network: float  # bytes that the run's machine sends a second
    stored: float  # bytes of a response in the store's file
    written: float  # bytes that keeping one writes, with the log


@dataclass(frozen=True)
class Work:
    """One model's part of a suite."""

    responses: int
    own: float  # tokens read once what prompts share is read once
    sent: float  # bytes of the prompts, each whole
    answers: float  # tokens written


def work_of(name: str, library: Library, rows_of: Callable[[str], int]) -> Work:
    suite = library.suite(name)
    responses, own, sent, answers = 0, 0.0, 0.0, 0.0
    for each in suite.tasks:
        task, rows = library.task(each), rows_of(each)
        length = OWN.get(task.family, USUAL)
        shots = suite.fewshots.get(each, suite.num_fewshot if suite.num_fewshot is not None else task.num_fewshot)
        choices = 1 if task.output_type == OutputType.GENERATE_UNTIL else 3
        responses += rows
        own += rows * length
        sent += rows * length * (1 + (shots or 0)) * CHARACTERS * choices  # Rank holds the context once a choice
        if task.output_type == OutputType.GENERATE_UNTIL:
            answers += rows * WRITTEN.get(task.family, WRITTEN_USUAL)
    return Work(responses, own, sent, answers)


def row(name: str, work: Work, machine: Machine, models: int) -> str:
    """Seconds that each part alone takes for the suite, and from how many GPUs on another part is slower than they."""
    gpu = work.own / machine.read + work.answers / machine.write
    parts = {
        "driver": work.responses / machine.driver,
        "disk": work.responses * machine.written / machine.disk,
        "network": work.sent / machine.network,
    }
    slowest = max(parts, key=parts.__getitem__)
    cells = [
        f"`{name}`",
        f"{work.responses:,}",
        f"{gpu * models / machine.gpus:,.0f}",
        f"{work.responses / machine.prompts:,.0f}",
        *(f"{parts[part] * models:,.0f}" for part in parts),
        f"{gpu / parts[slowest]:,.0f} ({slowest})",
        f"{work.responses * models * machine.stored / 1e6:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=100)
    parser.add_argument("--models", type=int, default=4, help="the base and its candidates")
    parser.add_argument(
        "--read", type=float, default=20_000, help="tokens of prompts that a GPU reads a second (assumed)"
    )
    parser.add_argument(
        "--write", type=float, default=2_000, help="tokens of answers that a GPU writes a second (assumed)"
    )
    parser.add_argument("--driver", type=float, default=5_000, help="responses a second (benchmarks/driver.py)")
    parser.add_argument("--prompts", type=float, default=3_000, help="prompts made a second (benchmarks/driver.py)")
    parser.add_argument("--disk", type=float, default=2e8, help="bytes a second")
    parser.add_argument("--network", type=float, default=1.25e9, help="bytes a second (10 Gbit/s)")
    parser.add_argument(
        "--stored", type=float, default=612, help="bytes of a response in the store (benchmarks/driver.py)"
    )
    parser.add_argument(
        "--written", type=float, default=15_300, help="bytes that storing a response writes, log included"
    )
    values = vars(parser.parse_args())
    models = values.pop("models")
    machine, library = Machine(**values), Library()
    rows_of = runpy.run_path(str(ROOT / "docs" / "make_suites_table.py"))["rows_of"]
    head = (
        "suite", "responses a model", f"{machine.gpus} GPUs, s", "prompts before, s", "driver, s", "disk, s",
        "network, s", "GPUs from which something else is slower", "store, MB",
    )  # fmt: skip
    print(f"base + {models - 1} candidates; seconds that each part alone takes for all models; prompts are made once")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name in SUITES:
        print(row(name, work_of(name, library, rows_of), machine, models))
    return 0


if __name__ == "__main__":
    sys.exit(main())
