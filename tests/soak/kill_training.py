"""SIGKILL a training at random moments, give the command again, and compare its weights with an uninterrupted one's,
byte by byte.

    PYTHONPATH=tests python -m soak.kill_training --kills 20 --seed 0

Ends with 0 and one line of counts, or with 1 at the first difference. The test suite does a few kills through `soak`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from soak.processes import evalharness, killed

from evalharness.paths import shipped

STEPS = 24
METHODS = {"lora": ["--rank", "4", "--dropout", "0.1"], "full": [], "p-tuning": ["--virtual-tokens", "8"]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a soak saw: kills that hit a running process, kills that found states saved, trainings that were let
    finish.
    """

    kills: int
    with_states: int
    completions: int


def command(method: str, out: Path) -> list[str]:
    """A training of a few seconds that saves and validates on the way."""
    shared = [
        "--base",
        str(shipped("fixtures/models") / "tiny-base"),
        "--task",
        "topics",
        "--data-dir",
        str(shipped("fixtures/world/rows")),
    ]
    length = [
        "--steps",
        str(STEPS),
        "--batch-size",
        "2",
        "--save-every",
        "4",
        "--eval-every",
        "8",
        "--validation",
        "0.02",
    ]
    return ["train", "--method", method, "--out", str(out), *METHODS[method], *shared, *length, "--device", "cpu", "-q"]


def soak(folder: Path, kills: int, seed: int, methods: tuple[str, ...] = tuple(METHODS)) -> Outcome:
    """Kill until `kills` trainings were hit, the methods in turn; raise AssertionError at the first difference."""
    rng, done, with_states, completions = random.Random(seed), 0, 0, 0
    times: dict[str, float] = {}
    while done < kills:
        method = methods[completions % len(methods)]
        whole = folder / f"whole-{method}"
        if not whole.exists():
            begun = time.monotonic()
            evalharness(command(method, whole))
            times[method] = time.monotonic() - begun
        out = folder / "killed" / "candidate"
        for _ in range(rng.randint(1, 3)):
            if done < kills and not out.exists():
                done += killed(command(method, out), rng.uniform(0.3, 1.0) * times[method])
                assert {path.name for path in out.parent.glob("*")} <= {".candidate.unfinished", "candidate"}
                with_states += any((out.parent / ".candidate.unfinished").glob("states/checkpoint-*"))
        if not out.exists():
            evalharness(command(method, out))
        completions += 1
        same(whole, out)
        shutil.rmtree(out)
    return Outcome(done, with_states, completions)


def same(whole: Path, killed: Path) -> None:
    """Equal weights and configuration, equal losses, nothing left beside."""
    assert [path.name for path in killed.parent.iterdir()] == [killed.name], "something was left beside the candidate"
    for path in sorted(whole.iterdir()):
        if path.name not in ("training.json", "adapter_config.json"):
            assert path.read_bytes() == (killed / path.name).read_bytes(), f"{path.name} differs in {killed}"
    one, two = (json.loads((folder / "training.json").read_text()) for folder in (whole, killed))
    keys = ("losses", "validation", "tokens", "trainable", "data", "base_fingerprint")
    assert all(one[key] == two[key] for key in keys), f"training.json differs in {killed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(Path(folder), asked.kills, asked.seed)
    counts = (
        f"{outcome.kills} kills, {outcome.with_states} with states to go on from, {outcome.completions} completions"
    )
    print(f"{counts}, weights byte-identical")


if __name__ == "__main__":
    main()
