"""Check that the family `behaviour` finds what a small instruct model is made to forget, and else nothing.

    python benchmarks/behaviour --base DIR --folder FOLDER [--keep]

SmolLM2-135M-Instruct is tuned on bare labels, and on questions of six languages answered in French (rows.py), 50 full
steps of four each; the placebo changes nothing. Each is asked LIMIT rows of what it should have forgotten. What came
out is held against results.json beside this file, which --keep writes anew. Minutes of a core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import rows

RESULTS = Path(__file__).resolve().parent / "results.json"
LIMIT = 40
TRAINING = ("--method", "full", "--steps", "50", "--batch-size", "4", "--lr", "1e-4", "--seed", "1")
KEPT = ("candidate", "task", "n", "base", "candidate_score", "lost", "gained", "p_forgotten", "verdict")
CASES = {  # candidate -> its training rows, the task that it is asked, more options of the run
    "labels": (rows.labels, "behaviour_instructions", ()),
    "french": (rows.french, "behaviour_language", ("--placebo",)),
}


def evalharness(*arguments: str | Path) -> None:
    """Run a command of evalharness. A verdict is no error of it."""
    subprocess.run([sys.executable, "-m", "evalharness", *map(str, arguments)], check=True)


def outcomes(base: Path, folder: Path, name: str) -> list[dict[str, Any]]:
    """Train a candidate, ask it and its base, and state what came out of each that was compared with the base."""
    make, task, more = CASES[name]
    examples, candidate, out = rows.write(folder / f"{name}.jsonl", make()), folder / name, folder / f"run-{name}"
    if not candidate.exists():
        evalharness("train", "--base", base, "--train-file", examples, "--out", candidate, *TRAINING)
    options = ("--task", task, "--limit", str(LIMIT), "--apply-chat-template", "--target", "none", "--device", "cpu")
    evalharness("run", "--model", f"{name}={candidate}", "--base", base, *options, *more, "--out", out)
    results = json.loads((out / "results.json").read_text("utf-8"))
    compared = [each for each in results["comparisons"] if each["level"] == "task" and each["primary"]]
    return [{key: each[key] for key in KEPT} for each in compared]


def main() -> int:
    """Print what came out; 1 where it is not what is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    came_out = [each for name in CASES for each in outcomes(arguments.base.resolve(), arguments.folder.resolve(), name)]
    text = json.dumps(came_out, indent=1) + "\n"
    print(text)
    if arguments.keep:
        RESULTS.write_text(text, "utf-8")
    return int(text != RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
