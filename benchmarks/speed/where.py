"""Profile this engine: shares of the processor time of one workload by kind of operation, or of a whole
one-document run by what it does.

    python benchmarks/speed/where.py 'MMLU 5-shot'                       (a name of __main__.py --list; one thread)
    python benchmarks/speed/where.py 'one document, whole processes'
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import side
import torch
from whole import FOUR, TASKS, Scene
from workloads import IN_MEMORY, Bench, against, write_job

FOLDER = Path(__file__).resolve().parents[2] / "runs" / "bench"
OPERATIONS = {"aten::mm": "matrix products", "aten::addmm": "matrix products", "aten::bmm": "matrix products"}
ATTENTION = "scaled_dot_product"
SHOWN = 8
ONE_DOCUMENT = "one document, whole processes"
MEASURED = {  # whose requests one base answers
    workload.name: (workload, workload.measure.args[0])
    for workload in IN_MEMORY
    if isinstance(workload.measure, partial) and workload.measure.func is against
}
SAMPLER = """
import atexit, collections, runpy, signal, sys
counts = collections.Counter()
def sample(number, frame):
    stack = []
    while frame:
        stack.append(frame.f_code.co_filename)
        frame = frame.f_back
    libraries = [name.split("site-packages/")[1].split("/")[0] for name in stack if "site-packages/" in name]
    libraries = [name for name in libraries if name not in ("click", "rich")]
    importing = any("importlib" in name for name in stack)
    ours = next((name.split("evalharness/")[-1] for name in stack if "/evalharness/" in name), "")
    counts[f"importing {libraries[-1] if libraries else 'evalharness'}" if importing else ours] += 1
def end():
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open(place, "w") as file:
        file.writelines(f"{count} {what}\\n" for what, count in counts.most_common())
place, sys.argv = sys.argv[-1], ["evalharness", *sys.argv[1:-1]]
signal.signal(signal.SIGPROF, sample)
signal.setitimer(signal.ITIMER_PROF, 0.005, 0.005)
atexit.register(end)
runpy.run_module("evalharness", run_name="__main__")
"""


def show(seconds: Mapping[str, float]) -> None:
    """Print the largest shares."""
    whole = sum(seconds.values())
    for what, share in Counter(seconds).most_common(SHOWN):
        print(f"{share / whole:6.1%}  {what}")


def of_operations(name: str) -> dict[str, float]:
    """Microseconds by kind of operation while our engine answers the requests of a workload."""
    workload, make = MEASURED[name]
    real = os.environ.get("EVALHARNESS_REAL_MODEL")
    bench = Bench(folder=FOLDER, real=Path(real) if real else None)
    requests = make(bench, workload.model)
    job = write_job(bench, f"{name}, profile", bench.model(workload.model), requests)
    ours = side.Ours(json.loads(job.read_text("utf-8")))
    ours.prepare({})
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        _, cost = side.measured(lambda: ours.answer(requests))
    seconds = defaultdict[str, float](float)
    for event in profile.key_averages():
        kind = "attention" if ATTENTION in event.key else OPERATIONS.get(event.key, "other operations")
        seconds[kind] += event.self_cpu_time_total
    seconds["outside of torch"] = max(0.0, 1e6 * cost["busy"] - sum(seconds.values()))
    return dict(seconds)


def of_one_document() -> dict[str, float]:
    """Samples of a cold run of a base and a full candidate on one document, by what it was doing."""
    scene = Scene(Bench(folder=FOLDER), questions=1)
    with tempfile.TemporaryDirectory() as home:
        counted = Path(home) / "counted"
        arguments = scene.arguments(Path(home), FOUR[:1], TASKS[:1])
        subprocess.run(
            [sys.executable, "-c", SAMPLER, *arguments, str(counted)],
            env=scene.environment(Path(home)),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        lines = [line.split(" ", 1) for line in counted.read_text("utf-8").splitlines()]
    return {what: float(count) for count, what in lines}


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("workload", choices=[*MEASURED, ONE_DOCUMENT])
    name = parser.parse_args().workload
    torch.set_num_threads(1)
    show(of_one_document() if name == ONE_DOCUMENT else of_operations(name))


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")
    main()
