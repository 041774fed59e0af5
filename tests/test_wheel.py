"""The wheel works where the source tree is not: it carries the tasks, the report's look, and what the demo needs."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("evalharness-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=installed.parent, env=environment
    )


def test_it_is_the_wheel_that_is_imported(installed: Path) -> None:
    done = run(installed, "-c", "import evalharness; print(evalharness.__file__)")
    assert done.stdout.strip() == str(installed / "evalharness" / "__init__.py")


def test_tasks_reports_and_the_demo_are_there(installed: Path) -> None:
    names = (
        "tasks/suites/demo.yaml",
        "reports/page.html.jinja",
        "fixtures/models/tiny-base/model.safetensors",
        "fixtures/demo/recipes.json",
    )
    for name in names:
        assert (installed / "evalharness" / "shipped" / name).is_file(), name
    assert not list(installed.rglob("*.pyc"))


def test_a_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    base = installed / "evalharness" / "shipped" / "fixtures" / "models" / "tiny-base"
    out = tmp_path / "out"
    models = ["--model", f"same={base}", "--base", str(base)]
    where = ["--limit", "3", "--out", str(out), "--store", str(tmp_path / "s.sqlite"), "--device", "cpu"]
    done = run(installed, "-m", "evalharness", "run", *models, "--suite", "demo", *where)
    assert done.returncode == 0, done.stderr
    assert {"results.json", "report.html"} <= {path.name for path in out.iterdir()}
    assert run(installed, "-m", "evalharness", "gate", str(out)).returncode == 4  # three examples a task decide nothing
