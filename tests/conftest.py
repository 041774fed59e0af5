"""Tiny random checkpoints for all tests, copied afresh for a test that breaks one; and a small task with its rows."""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import tiny_models
import torch
from faults.fault_matrix import table
from hypothesis import settings
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from evalharness.checkpoints import memory

# the same examples in every run; `--hypothesis-profile explore` looks for others
settings.register_profile("explore", deadline=None)
settings.register_profile("whole", derandomize=True, deadline=None)
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=30)


def pytest_configure(config: pytest.Config) -> None:
    """Wait for no disk, which takes longer than many a test: what is killed is a process, never the machine."""
    gc.disable()
    if not config.option.hypothesis_profile:
        settings.load_profile("quick" if "not slow" in config.option.markexpr else "whole")
    os.fsync = lambda descriptor: None


def pytest_sessionstart() -> None:
    """Be no job of GitHub Actions, in which the gate speaks to the runner: tests that want one say so."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        os.environ.pop(name, None)


def pytest_collection_finish() -> None:
    """Collect no garbage while modules are imported, and none of what they made afterwards: every engine that closes
    collects, over millions of objects where all tests' libraries are loaded.
    """
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fault_row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Report which rows of the fault matrix a test injects."""
    for mark in request.node.iter_markers("fault"):
        record_property("fault", mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault matrix where faults were what was selected (`-m fault`)."""
    if "fault" not in (terminalreporter.config.option.markexpr or ""):
        return
    outcomes = []
    for passed, reports in ((True, "passed"), (False, "failed")):
        for report in terminalreporter.stats.get(reports, []):
            said = dict(report.user_properties)
            rows = [value for key, value in report.user_properties if key == "fault"]
            outcomes += [(row, said.get("injected", 1), passed) for row in rows]
    terminalreporter.section("fault matrix")
    terminalreporter.write("\n".join(table(outcomes)) + "\n")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    torch.set_num_threads(1)
    return tiny_models


@pytest.fixture(scope="session")
def zoo(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "zoo"
    root.mkdir(exist_ok=True)
    return tiny.Zoo(root)


@pytest.fixture
def files_checked_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember from test to test what was found out about a checkpoint's files, as runs over one store do."""
    with memory.remember_in(tmp_path_factory.getbasetemp() / "checked"):
        yield


@pytest.fixture
def special_tokens(copy: Callable[..., Path]) -> Callable[..., Path]:
    """A copy of one of the zoo whose tokenizer puts other special tokens around a text ("<s> $A </s>"; None: none)."""

    def tuned(name: str, template: str | None, to: str = "tuned") -> Path:
        folder = copy(name, to)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        words = {} if template is None else {word for word in template.split() if word != "$A"}
        value = json.loads(tokenizer.to_str())
        value["post_processor"] = None
        if template is not None:
            ids = [(word, tokenizer.token_to_id(word)) for word in words]
            tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=ids)
            value = json.loads(tokenizer.to_str())
        (folder / "tokenizer.json").write_text(json.dumps(value))
        return folder

    return tuned


@pytest.fixture
def copy(zoo: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of one of the zoo, under another name."""
    return lambda name, to=None: Path(shutil.copytree(zoo[name], tmp_path / (to or name)))


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """Sets keys of a JSON file; None removes one."""

    def edit(path: Path, **changes: object) -> None:
        value = {**json.loads(path.read_text()), **changes} if path.exists() else changes
        path.write_text(
            json.dumps({key: item for key, item in value.items() if item is not None or key not in changes})
        )

    return edit


@pytest.fixture
def edit_tensors() -> Callable[..., None]:
    """Rewrites a safetensors file through a function on its dictionary."""

    def edit(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return edit


YES_NO = """
task: yes_no
dataset_path: local/yes_no
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "{{text}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list:
  - metric: acc
metadata: {version: 1.0, family: other, chance: 0.5, primary: acc, lm_eval: no}
"""
ECHO = """
task: echo
dataset_path: local/echo
test_split: test
output_type: generate_until
doc_to_text: "{{text}} :"
doc_to_target: "{{text}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6}
metric_list:
  - metric: exact_match
metadata:
  {version: 1.0, family: other, chance: 0.0, primary: exact_match, lm_eval: no,
   metrics: [{metric: rougeL, use_stemmer: true}]}
"""


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tasks (tasks/) whose prompts fit the zoo's windows, and their rows (data/), 30 to evaluate."""
    root = tmp_path_factory.mktemp("small-world")
    (root / "tasks").mkdir()
    (root / "tasks" / "yes_no.yaml").write_text(YES_NO)
    (root / "tasks" / "echo.yaml").write_text(ECHO)
    words = tiny_models.WORDS
    for name in ("yes_no", "echo"):
        for split, start in (("test", 0), ("train", 30)):
            folder = root / "data" / "local" / name / "default"
            folder.mkdir(parents=True, exist_ok=True)
            rows = [
                {"text": f"{words[i % 20]} {words[i * 7 % 40]} {i}", "label": i % 2} for i in range(start, start + 30)
            ]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root
