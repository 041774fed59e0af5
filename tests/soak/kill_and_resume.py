"""SIGKILL a run at random moments, give the command again, and compare what it leaves with an uninterrupted run, byte
by byte.

    PYTHONPATH=tests python -m soak.kill_and_resume --kills 50 --seed 0

Ends with 0 and one line of counts, or with 1 at the first difference. The test suite does a few kills through `soak`.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from command_line import exit_code
from soak.processes import forked

from evalharness.paths import shipped
from evalharness.store import facts

TASKS = ("sst2", "copa", "dialogsum")
LIMIT = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a soak saw: kills that hit a running process, runs that were let finish."""

    kills: int
    completions: int


def candidate(folder: Path, base: Path) -> Path:
    """A candidate that differs from its base: a LoRA after two steps."""
    recipe = ("--method", "lora", "--steps", "2", "--task", "topics", "--data-dir", shipped("fixtures/world/rows"))
    assert exit_code("train", "--base", base, "--out", folder / "candidate", *recipe) == 0
    return folder / "candidate"


def command(model: Path, base: Path, place: Path, tasks: Sequence[str], limit: int) -> list[str]:
    """A run of these tasks and the candidate's target, all of whose output lies in `place`."""
    named = [part for name in tasks for part in ("--task", name)]
    where = ["--data-dir", str(shipped("fixtures/world/rows")), "--split", "test", "--limit", str(limit)]
    return [
        "run",
        "--model",
        str(model),
        "--base",
        str(base),
        *named,
        *where,
        "--out",
        str(place / "out"),
        "--store",
        str(place / "store.sqlite"),
    ]


def soak(folder: Path, kills: int, seed: int, tasks: Sequence[str] = TASKS, limit: int = LIMIT) -> Outcome:
    """Kill until `kills` runs were hit; raise AssertionError at the first difference."""
    torch.set_num_threads(1)
    base, rng = shipped("fixtures/models") / "tiny-base", random.Random(seed)
    model = candidate(folder, base)
    assert exit_code(*command(model, base, folder / "whole", tasks, limit)) == 0  # imports what children share
    begun = time.monotonic()
    forked(command(model, base, folder / "again", tasks, limit))
    same(folder / "whole", folder / "again")
    whole = time.monotonic() - begun
    done = completions = 0
    while done < kills:
        place = folder / f"killed-{completions}"
        for _ in range(rng.randint(1, 6)):
            if done < kills:
                done += forked(command(model, base, place, tasks, limit), rng.uniform(0.05, whole))
        forked(command(model, base, place, tasks, limit))
        completions += 1
        same(folder / "whole", place)
        shutil.rmtree(place)
    return Outcome(done, completions)


def same(whole: Path, killed: Path) -> None:
    """Equal results, samples and page (but for its cost section), as many answers, none damaged."""
    for name in sorted(path.relative_to(whole) for path in (whole / "out").rglob("*") if path.is_file()):
        if name.name == "run.json":
            continue
        one, two = (whole / name).read_bytes(), (killed / name).read_bytes()
        if name.name == "report.html":
            one, two = _without_cost(one), _without_cost(two)
        assert one == two, f"{name} differs after {killed}"
    first, second = (facts(place / "store.sqlite") for place in (whole, killed))
    kept = [(each.answers, each.models, each.damaged) for each in (first, second)]
    assert kept[0] == kept[1], f"{first} against {second}"


def _without_cost(page: bytes) -> bytes:
    return re.sub(rb'<section[^>]*id="cost".*?</section>', b"", page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(Path(folder), asked.kills, asked.seed)
    print(f"{outcome.kills} kills, {outcome.completions} completions, 0 answers lost, results byte-identical")


if __name__ == "__main__":
    main()
