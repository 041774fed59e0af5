"""A run whose signal was swallowed ends at its next step; one that is terminated says how to go on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness import api, interruption
from evalharness.cli import main as entry
from evalharness.engines.scripted import ScriptedFactory
from evalharness.paths import shipped
from evalharness.records.requests import Failure
from evalharness.run.progress import SilentListener
from evalharness.store import facts


class Swallowing(SilentListener):
    """A signal comes when a phase begins, and nobody sees its exception."""

    def __init__(self, at: str) -> None:
        self.at, self.phases = at, []

    def phase(self, text: str) -> None:
        self.phases.append(text)
        if text == self.at:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)


@pytest.mark.fault(4)
@pytest.mark.parametrize("at", ["verifying base", "making prompts", "base: echo", "comparing"])
def test_a_swallowed_signal_ends_a_run_at_its_next_step(
    at: str, zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    listener = Swallowing(at)
    deaf = ScriptedFactory(lambda request: Failure(request_id=request.id, reason="deaf"))
    options = {
        "include": small_world / "tasks",
        "data_dir": small_world / "data",
        "tasks": ("echo", "yes_no"),
        "limit": 4,
        "out": tmp_path / "out",
        "store": tmp_path / "store.sqlite",
        "base": f"base={zoo['llama']}",
    }
    with interruption.signals_caught(), pytest.raises(KeyboardInterrupt):
        api.evaluate(f"tuned={zoo['llama-lora']}", listener=listener, factory=deaf, **options)
    assert listener.phases[-1] == at and not (tmp_path / "out" / "results.json").exists()


@pytest.mark.fault(4)
def test_an_interrupt_keeps_its_code_where_nobody_reads_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = io.TextIOWrapper(io.FileIO(writing, "w", closefd=False))
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(entry.evalharness, "main", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    assert exit_code("run", "--model", "m") == 143
    os.close(writing)


@pytest.mark.fault(4)
def test_the_command_that_a_terminated_run_prints_goes_on_and_asks_nothing_twice(
    tmp_path: Path, edit_tensors: Callable[..., None]
) -> None:
    """A process of its own, with a model, terminated once a block is answered."""
    base, tuned = shipped("fixtures/models") / "tiny-base", tmp_path / "tuned"
    tuned.mkdir()
    for path in base.iterdir():
        (tuned / path.name).write_bytes(path.read_bytes())
    edit_tensors(tuned / "model.safetensors", lambda tensors: tensors.update({k: v * 1.5 for k, v in tensors.items()}))
    models = ["--base", f"base={base}", "--model", f"tuned={tuned}"]
    rows = ["--task", "sst2", "--task", "copa", "--data-dir", shipped("fixtures/world/rows"), "--split", "test"]
    places = ["--limit", "20", "--out", tmp_path / "out", "--store", tmp_path / "store.sqlite", "--verbose"]
    command = [str(part) for part in ("run", *models, *rows, *places)]
    program = [sys.executable, "-m", "evalharness"]
    with subprocess.Popen([*program, *command], stderr=subprocess.PIPE, text=True) as process:
        next(line for line in process.stderr if "20 computed" in line)
        process.terminate()
        lines = process.stderr.read().splitlines()
    assert process.returncode == 143
    assert lines[-2] == "Interrupted. What is done so far is kept: the same command goes on from there."
    kept = facts(tmp_path / "store.sqlite").answers
    assert 0 < kept < 80
    assert exit_code(*shlex.split(lines[-1])[1:]) == 0
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["models"]
    assert sum(each["stored"] for each in counts.values()) == kept
    assert sum(each["computed"] for each in counts.values()) == 80 - kept
