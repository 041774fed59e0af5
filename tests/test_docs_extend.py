"""docs/extend.md: its files are written, its package is installed, and its commands run, from the page's own text."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_docs_commands import ROOT, Step, blocks, steps

pytestmark = pytest.mark.slow

PAGE = "docs/extend.md"
FILE = re.compile(r"# file: (\S+)\n")
READERS = "evalharness/imports/readers.py"
PIP = "install --quiet --no-deps --no-build-isolation --no-index --target site ."


def commands() -> Iterator[Step]:
    for block in blocks(PAGE):
        if block.language == "sh":
            yield from steps(block)


def write_files(folder: Path) -> None:
    """Write the page's files, those of the package to the folder, those of this repository to the copy in `source`."""
    for block in blocks(PAGE):
        if named := FILE.match(block.text):
            path = folder / "source" / named[1] if named[1].startswith("evalharness/") else folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")


def add_reader(source: Path) -> None:
    """Add the page's import and line to the table of readers."""
    lines = next(block.text for block in blocks(PAGE) if block.text.startswith("from evalharness.imports import quiz"))
    imported, _, line = lines.partition("\n\n")
    text = (source / READERS).read_text("utf-8")
    assert text.count("\n)  # fmt: skip") == 1
    text = text.replace("from evalharness.imports import", f"{imported}\nfrom evalharness.imports import", 1)
    (source / READERS).write_text(text.replace("\n)  # fmt: skip", f"\n{line.rstrip()}\n)  # fmt: skip"), "utf-8")


def execute(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    python = os.pathsep.join((str(folder / "site"), str(folder / "source")))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python, "EVALHARNESS_STORE": str(folder / "store.sqlite")}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, zoo: dict[str, Path]) -> tuple[Path, dict[str, str]]:
    """The folder in which the page's files and commands were, and what each command printed."""
    folder = tmp_path_factory.mktemp("extend")
    ours = folder / "source"
    shutil.copytree(ROOT / "evalharness", ours / "evalharness", ignore=shutil.ignore_patterns("__pycache__"))
    for shipped in ("tasks", "reports", "fixtures"):
        (ours / shipped).symlink_to(ROOT / shipped)
    write_files(folder)
    add_reader(ours)
    (folder / "base").symlink_to(zoo["llama"])
    (folder / "my-lora").symlink_to(zoo["llama-lora"])
    printed = {}
    for step in commands():
        command = step.command.replace("pip install --editable .", f"{sys.executable} -m pip {PIP}")
        done = execute(command, folder)
        printed[step.command] = done.stdout + done.stderr
        assert done.returncode in step.codes, f"{step.command}\n{printed[step.command]}"
    return folder, printed


def test_its_commands_run(outputs: tuple[Path, dict[str, str]]) -> None:
    _, printed = outputs
    assert " passed" in printed["python -m pytest test_shouting.py"]
    assert "1 times never" in printed["evalharness tasks show shout"]


def test_its_engine_answers_its_task_through_its_reader_and_metric(outputs: tuple[Path, dict[str, str]]) -> None:
    folder, _ = outputs
    results = json.loads((folder / "runs/shouting/results.json").read_text())
    (row,) = (row for row in results["comparisons"] if row["task"] == "shout")
    assert (row["metric"], row["n"]) == ("loudness", 10)  # of twelve rows, two are of a word that stood there before
    assert (row["base"]["value"], row["candidate_score"]["value"]) == (1.0, 0.0)
    assert results["signature"]["engine"]["suffix"] == "!"
    assert "HEY!" in "".join(path.read_text() for path in (folder / "runs/shouting/samples/shout").iterdir())


def test_its_reader_of_logs_pairs_the_answers(outputs: tuple[Path, dict[str, str]]) -> None:
    folder, _ = outputs
    (row,) = (
        row
        for row in json.loads((folder / "compared/results.json").read_text())["comparisons"]
        if row["unit"] and row["level"] == "task"
    )
    assert (row["task"], row["n"], row["lost"], row["verdict"]) == ("quiz", 40, 40, "forgotten")
    refused = execute("evalharness compare old source --target none --out other", folder)
    assert refused.returncode == 2 and "folders with a quiz.json" in refused.stderr
