"""Measure this engine against lm-eval 0.4.13 on the same work: results.json beside this package, and docs/speed.md.

    python benchmarks/speed                                 (make bench; an hour of two cores)
    python benchmarks/speed --workload 'MMLU*' --rounds 1   measures some again and keeps the others
    python benchmarks/speed --questions 24 --out DIR        quickly, elsewhere
    python benchmarks/speed --list                          the names of the workloads

EVALHARNESS_REAL_MODEL names the directory of SmolLM2-135M, and --data (DATA=… for make) one of MMLU's published rows;
without them a workload is left out, and rows are drawn. Ends with 1 where numbers disagree or a floor is missed.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import table
from whole import WHOLE
from workloads import IN_MEMORY, Bench, Skip

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORKLOADS = (*IN_MEMORY, *WHOLE)


def machine(threads: int) -> str:
    """The processor and the libraries, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "lm-eval"))
    return (
        f"{name}, {os.cpu_count()} cores, {threads} threads, float32; Python {platform.python_version()}, {libraries}"
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--workload", action="append", help="a name or pattern; repeatable [default: all]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, help="requests of a workload at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="MMLU's rows as published: dev/, test/")
    parser.add_argument("--out", type=Path, help="a folder for results.json and speed.md instead of the repository's")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def main() -> int:
    arguments = options()
    workloads = [w for w in WORKLOADS if any(fnmatch.fnmatchcase(w.name, one) for one in arguments.workload or ["*"])]
    if arguments.list or not workloads:
        print("\n".join(workload.name for workload in WORKLOADS))
        return 0 if arguments.list else 2
    real = os.environ.get("EVALHARNESS_REAL_MODEL")
    bench = Bench(
        folder=ROOT / "runs" / "bench",
        rounds=arguments.rounds,
        threads=arguments.threads,
        most=arguments.questions,
        real=Path(real) if real else None,
        data=arguments.data,
    )
    figures = (arguments.out or HERE.parent) / "results.json"
    figures.parent.mkdir(parents=True, exist_ok=True)
    results: list[table.Result] = []
    order = [workload.name for workload in WORKLOADS]
    for workload in workloads:
        begun = time.monotonic()
        try:
            results.append(workload.measure(bench, workload))
        except Skip as reason:
            print(f"{workload.name}: left out, {reason}", flush=True)
            continue
        row = results[-1]
        print(f"{row.workload} ({row.model}): {row.ratio:.2f} times, {time.monotonic() - begun:.0f} s", flush=True)
        table.write(figures, machine(arguments.threads), table.merged(table.read(figures), [row], order))
    show(figures, arguments.out)
    return int(any(row.ratio < row.floor or row.differing for row in results))


def show(figures: Path, out: Path | None) -> None:
    """Print the table, and put it into the page."""
    rows = table.read(figures)
    text = f"{table.machine_of(figures)}\n\n{table.table(rows)}"
    print(text)
    page = ROOT / "docs" / "speed.md"
    (out / "speed.md" if out else page).write_text(table.between(page.read_text("utf-8"), text), "utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
