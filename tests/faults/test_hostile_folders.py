"""What lies in a folder may have been edited by anybody: it is read as it stands, or refused in one line."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code
from faults.edits import edits

from evalharness.checkpoints.fingerprint import of_weights
from evalharness.records.comparison import Estimate
from evalharness.report.stages import STAGES
from evalharness.report.sweep import SWEEP, Choice, Outcome, Point, Sweep
from evalharness.results.files import RUN

SAMPLES = ("samples/echo/base.jsonl", "samples/echo/one.jsonl")
WHOLE = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"5",
    b"[]",
    b"[[1, 2]]",
    b'"x"',
    b"{}",
    b"[" * 100_000,
    b'{"a": NaN}',
    b"\n",
)
COUNTS = [2, pytest.param(150, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def traced(zoo: dict[str, Path], small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace's folder, with the sweep.json of one that chose its stages."""
    place = tmp_path_factory.mktemp("hostile")
    (place / "answers.jsonl").write_text('{"model": "base", "text": "x", "choice": 0}\n{"text": "", "choice": 1}\n')
    out = place / "out"
    assert exit_code(*trace(zoo, small_world, place), "--engine-option", f"answers={place / 'answers.jsonl'}") == 0
    half = Estimate(value=0.5, low=0.4, high=0.6)
    outcome = Outcome(metrics={"acc": 0.5}, gain=half, learned=True, suite=half, forgotten=("echo",), units=2)
    facts = {"series": "lora", "method": "lora", "rank": 4, "seed": 1, "status": "trained", "made": {"seconds": 3.0}}
    points = [
        Point(name=name, learning_rate=rate, loss=1.5, validation=outcome, test=outcome, **facts)
        for name, rate in (("one", 1e-3), ("two", 1e-4))
    ]
    sweep = Sweep(base="base", task="echo", suite="", select="acc", rule="Best.", rows={"echo": "validation"},
                  points=tuple(points), chosen=(Choice("lora", 1e-3, 0.5, ("one",)),))  # fmt: skip
    SWEEP.write(out, sweep)
    assert exit_code("report", out) == 0
    return out


def trace(zoo: dict[str, Path], small_world: Path, place: Path, stage: Path | None = None) -> list[object]:
    stages = ["--stage", f"one={stage or zoo['llama-lora']}", "--stage", f"two={zoo['llama-prompt']}"]
    tasks = ["--task", "echo", "--task", "yes_no", "--include-path", small_world / "tasks", "--limit", "6"]
    places = ["--data-dir", small_world / "data", "--out", place / "out", "--store", place / "store.sqlite"]
    return ["trace", "--base", f"base={zoo['llama']}", *stages, *tasks, *places, "--engine", "scripted", "--quiet"]


def edited(document: Any, rng: random.Random, count: int) -> Iterator[bytes]:
    """Documents with one edit each; then what is no such document at all."""
    yield from (json.dumps(each).encode() for each in edits(document, rng, count))
    yield from rng.sample(WHOLE, min(count // 2, len(WHOLE)))


def fine(command: object, *arguments: object) -> None:
    assert exit_code(command, *arguments) in (0, 2, 3, 4, 5), arguments


@pytest.mark.fault(25)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", [SWEEP.name, STAGES.name, RUN])
def test_documents_beside_the_results(
    traced: Path, tmp_path: Path, name: str, count: int, record_property: Callable[[str, object], None]
) -> None:
    out, injected = Path(shutil.copytree(traced, tmp_path / "out")), 0
    for data in edited(json.loads((traced / name).read_text()), random.Random(0), count):
        (out / name).write_bytes(data)
        injected += 1
        fine("report", out)
    record_property("injected", injected)


@pytest.mark.fault(25)
@pytest.mark.parametrize("count", COUNTS)
def test_samples(traced: Path, tmp_path: Path, count: int, record_property: Callable[[str, object], None]) -> None:
    out, rng, injected = Path(shutil.copytree(traced, tmp_path / "out")), random.Random(0), 0
    for name in SAMPLES:
        lines = (traced / name).read_text().splitlines()
        for data in edited(json.loads(lines[2]), rng, count):
            (out / name).write_bytes(b"\n".join([*map(str.encode, lines[:2]), data, *map(str.encode, lines[3:])]))
            injected += 1
            for command in ("gate", "report"):
                fine(command, out)
        shutil.copy(traced / name, out / name)
    record_property("injected", injected)


@pytest.mark.fault(25)
@pytest.mark.parametrize("count", COUNTS)
def test_training_facts(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    stage, injected = Path(shutil.copytree(zoo["llama-lora"], tmp_path / "stage")), 0
    source = {"kind": "task", "name": "echo", "split": "train", "digest": "0" * 64}
    facts = {
        "base": str(zoo["llama"]),
        "base_fingerprint": of_weights(zoo["llama"]),
        "target_task": "echo",
        "method": "lora",
        "architecture": "causal",
        "precision": "",
        "recipe": {"method": "lora", "target": "echo", "learning_rate": 1e-3, "seed": 1, "template": None, "rank": 4},
        "data": {"digest": "0" * 64, "examples": 30, "counts": {"echo": 30}, "sources": [source], "passes": 0.1},
        "losses": [2.0, 1.5],
        "last_losses_mean": {"steps": 2, "loss": 1.75},
        "versions": {"torch": "2"},
        **dict.fromkeys(("trainable", "parameters", "steps", "tokens", "bytes", "peak_memory_process"), 5),
        "seconds": 1.5,
    }
    (stage / "training.json").write_text(json.dumps(facts))
    assert exit_code(*trace(zoo, small_world, tmp_path, stage)) == 0
    for data in edited(facts, random.Random(0), count):
        (stage / "training.json").write_bytes(data)
        injected += 1
        fine(*trace(zoo, small_world, tmp_path, stage))
    record_property("injected", injected)
