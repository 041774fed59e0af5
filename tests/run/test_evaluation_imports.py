"""What a run imports: one whose answers are all stored neither torch nor transformers nor peft, and full weights never
peft. Looked at in processes of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.checkpoints import memory

HEAVY = {"torch", "transformers", "peft", "datasets", "evaluate", "nltk", "scipy.stats", "accelerate"}
SEEN = """
import sys
from evalharness.checkpoints import memory
from evalharness.cli.main import main
memory.AT_REST = 0
try:
    main(sys.argv[1:])
except SystemExit as ended:
    print("\\nimported", ended.code, *sorted(sys.modules))
"""


@pytest.fixture
def files_checked_once() -> None:
    """Each run remembers beside its store, where the next process looks."""


@pytest.fixture
def options(zoo: dict[str, Path], small_world: Path, tmp_path: Path, edit_tensors, copy) -> Callable[..., list[str]]:
    """The arguments of a run of full weights over one store."""
    edit_tensors(
        copy("llama", "full") / "model.safetensors", lambda tensors: tensors["lm_head.weight"].mul_(1.5).add_(0.01)
    )

    def options(*more: str) -> list[str]:
        places = {"--model": "full", "--store": "store.sqlite", "--out": "out"}
        named = [text for option, place in places.items() for text in (option, str(tmp_path / place))]
        rows = ["--include-path", str(small_world / "tasks"), "--data-dir", str(small_world / "data")]
        return ["run", *named, "--base", str(zoo["llama"]), "--task", "yes_no", "--limit", "1", "-q", *rows, *more]

    return options


def imported_by(arguments: list[str]) -> tuple[int, set[str]]:
    """The exit code of the command, and what its process imported."""
    process = subprocess.run([sys.executable, "-c", SEEN, *arguments], capture_output=True, text=True, check=True)
    _, code, *names = process.stdout.splitlines()[-1].split()
    return int(code), set(names)


def test_a_run_whose_answers_are_stored_imports_no_torch(options, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "AT_REST", 0)
    assert exit_code(*options("--strict")) == 0  # strict: one thread, whatever torch would choose
    before = [(tmp_path / "out" / name).read_bytes() for name in ("results.json", "measurements.parquet")]
    code, names = imported_by(options("--strict"))
    assert code == 0 and not names & HEAVY
    assert [(tmp_path / "out" / name).read_bytes() for name in ("results.json", "measurements.parquet")] == before
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["models"]
    assert {(each["stored"], each["computed"]) for each in counts.values()} == {(1, 0)}


@pytest.mark.slow
def test_threads_are_those_that_torch_chose_and_full_weights_need_no_peft(options) -> None:
    code, first = imported_by(options())
    assert code == 0 and "torch" in first and not first & {"peft", "datasets", "evaluate", "nltk"}
    code, names = imported_by(options())
    assert code == 0 and not names & HEAVY


def test_the_help_of_a_run_imports_no_numbers() -> None:
    code, names = imported_by(["run", "--help"])
    assert code == 0 and not names & {*HEAVY, "numpy", "scipy", "pyarrow", "pandas"}
