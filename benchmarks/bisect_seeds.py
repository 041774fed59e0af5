"""Check that `evalharness bisect` names the checkpoint that evaluating all of them names.

It does so for 20 draws of the rows, on one training of the tiny base with 16 checkpoints.

    python benchmarks/bisect_seeds.py [--folder DIR] [--check | --write]      (minutes; goes on where it was)

The tiny base learns `topics` by full weights. For each seed the same rows of two tasks and of the target are asked
of all checkpoints (the scan) and by `bisect`, both at α / 6: the first checkpoint of the scan that forgot a gate unit
at that level is what the search stands in for. Beside it stands the first that `trace` would name on these rows: at α,
with Holm's correction over tasks × checkpoints, another question. One store holds the answers, so that each is asked
once.
--write puts the rows into benchmarks/bisect_seeds.json. --check ends with 1 where bisect misses the aim: equal in 19 of
20, in at most 6 evaluations each; on another processor the training's last bits, and so single rows, may be others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evalharness.checkpoints.discover import steps_of
from evalharness.checkpoints.files import TRAINING
from evalharness.experiments.bisect import run_bisect
from evalharness.experiments.bisect_search import most_looks
from evalharness.experiments.candidates import make_candidate
from evalharness.experiments.demo import base, world
from evalharness.experiments.jobs import BisectJob
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate
from evalharness.run.progress import SilentListener
from evalharness.stats.enums import Verdict
from evalharness.stats.multiplicity import holm
from evalharness.training.recipe import Recipe

GOLDEN = Path(__file__).with_suffix(".json")
SEEDS, CHECKPOINTS, ALPHA = range(20), 16, 0.05
EQUAL, LOOKS = 19, 6  # what is aimed at
TASKS, ROWS = ("sst2", "rte"), 200  # of 500 rows each; beside them the target
RECIPE = {"method": "full", "learning_rate": 4e-4, "batch_size": 16, "steps": 160, "keep_checkpoints": 10}


def job_of(folder: Path, seed: int, alpha: float) -> Job:
    """Every checkpoint of the training in order, on the rows of a seed."""
    training = folder / "training"
    if not training.exists():
        recipe = Recipe.from_fields(RECIPE | {"base": str(base()), "out": str(training), "target": "topics", "seed": 1})
        make_candidate(recipe, world(), SilentListener())
        for record in training.rglob(TRAINING):  # no verdict hangs on what was seen; to look for it takes longest
            facts = json.loads(record.read_text("utf-8"))
            record.write_text(json.dumps({key: facts[key] for key in facts if key != "data"}) + "\n", "utf-8")
    models = tuple(map(str, steps_of(training)))
    assert len(models) == CHECKPOINTS and most_looks(CHECKPOINTS) == LOOKS
    return make_job(
        models, base=str(base()), tasks=TASKS, data_dir=shipped("fixtures/world/rows"), split="test", limit=ROWS,
        seed=seed, alpha=alpha, store=folder / "store.sqlite", out=folder / f"scan-{seed}",
    )  # fmt: skip


def course_of(scan: Results) -> Iterator[str]:
    """A letter for each checkpoint: F where a gate unit is forgotten, r where all are retained, else a point."""
    for name in scan.candidates:
        verdicts = {c.verdict for c in scan.comparisons if c.candidate == name and c.is_gate_unit}
        yield "F" if Verdict.FORGOTTEN in verdicts else "r" if verdicts == {Verdict.RETAINED} else "."


def by_trace(scan: Results) -> str | None:
    """The first checkpoint at which a unit is forgotten at α by Holm's correction over all tests together."""
    tests = [c for c in scan.comparisons if c.is_gate_unit]
    adjusted = holm([1.0 if c.p_forgotten is None else c.p_forgotten for c in tests])
    forgotten = {c.candidate for c, p in zip(tests, adjusted, strict=True) if p <= ALPHA}
    return next((name for name in scan.candidates if name in forgotten), None)


def row_of(folder: Path, seed: int) -> dict[str, Any]:
    """What the scan and the search say on the rows of one seed; what an earlier call found is read again."""
    file = folder / f"seed-{seed}.json"
    if not file.is_file():
        file.write_text(json.dumps(_compared(folder, seed)) + "\n", "utf-8")
    return dict(json.loads(file.read_text("utf-8")))


def _compared(folder: Path, seed: int) -> dict[str, Any]:
    scan = evaluate(job_of(folder, seed, ALPHA / LOOKS))
    course = "".join(course_of(scan))
    search = job_with(job_of(folder, seed, ALPHA), out=folder / f"bisect-{seed}")
    bisection = run_bisect(BisectJob(search))
    return {
        "seed": seed,
        "course": course,
        "scan": scan.candidates[course.index("F")] if "F" in course else None,
        "bisect": bisection.first,
        "outcome": bisection.outcome,
        "evaluations": len(bisection.looks),
        "trace": by_trace(scan),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/bisect-seeds"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS, help="these alone, for a process of their own")
    parser.add_argument("--check", action="store_true", help="end with 1 where the aim is missed")
    parser.add_argument("--write", action="store_true", help=f"write {GOLDEN.name}")
    arguments = parser.parse_args()
    rows = []
    for seed in arguments.seeds:
        rows.append(row_of(arguments.folder, seed))
        print(json.dumps(rows[-1]), flush=True)
    equal = sum(row["scan"] == row["bisect"] and row["outcome"] in ("found", "nothing_forgotten") for row in rows)
    most = max(row["evaluations"] for row in rows)
    print(f"equal in {equal} of {len(rows)}, in at most {most} evaluations of {CHECKPOINTS}")
    if arguments.write:
        GOLDEN.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return int(arguments.check and (equal * len(SEEDS) < EQUAL * len(rows) or most > LOOKS))


if __name__ == "__main__":
    sys.exit(main())
