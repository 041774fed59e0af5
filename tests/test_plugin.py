"""Another package's engine, metric, reader and tasks are used by name as ours are, once it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ANSWER = ["--engine", "shouting", "--engine-option", "suffix=!", "--task", "shout", "--quiet"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which tests/plugin is installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(ROOT / "tests/plugin")], check=True, capture_output=True)
    return folder


def command(site: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "COLUMNS": "200"}
    called = [sys.executable, "-m", "evalharness", *map(str, arguments)]
    return subprocess.run(called, capture_output=True, text=True, env=environment)


def test_its_task_is_listed(site: Path) -> None:
    done = command(site, "tasks", "list", "--family", "other")
    assert done.returncode == 0 and "shout" in done.stdout, done.stderr


def test_its_engine_answers_its_task_through_its_reader_and_metric(
    site: Path, zoo: dict[str, Path], tmp_path: Path
) -> None:
    models = ["--base", f"base={zoo['llama']}", "--model", f"tuned={zoo['llama-lora']}"]
    places = ["--out", tmp_path / "out", "--store", tmp_path / "store"]
    done = command(site, "run", *models, *ANSWER, *places)
    assert done.returncode == 0, done.stderr
    assert "its adapter is unproven" not in done.stderr  # it writes otherwise than its base
    results = json.loads((tmp_path / "out/results.json").read_text())
    (row,) = (row for row in results["comparisons"] if row["task"] == "shout")
    assert (row["metric"], row["n"]) == ("loudness", 10)  # of twelve rows, two are of a word that stood there before
    assert (row["base"]["value"], row["candidate_score"]["value"]) == (1.0, 0.0)
    assert results["signature"]["engine"]["suffix"] == "!"
    assert "HEY!" in (tmp_path / "out/samples/shout/base.jsonl").read_text()


def test_its_engine_keeps_the_contract_by_the_lines_of_the_recipe(
    site: Path, zoo: dict[str, Path], tmp_path: Path
) -> None:
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("```python\nimport pytest\n")[2].partition("```")[0]
    (tmp_path / "test_engine.py").write_text(f"import pytest\n{recipe}")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny").symlink_to(zoo["llama"])
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    called = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_engine.py"]
    done = subprocess.run(called, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
