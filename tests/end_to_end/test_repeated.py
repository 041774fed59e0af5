"""The same command again and again: the same bytes, whatever seed Python hashes with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.paths import shipped

FIXTURES = shipped("fixtures")
FILES = ("results.json", "measurements.parquet", "samples")


def content(out: Path) -> dict[str, bytes]:
    """Every file of a run that a repetition must give again."""
    page = (out / "report.html").read_text().partition('id="cost"')[0]
    files = [path for name in FILES for path in (out / name, *(out / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files} | {"report": page.encode()}


@pytest.mark.slow
@pytest.mark.fault(30)
def test_three_hash_seeds_give_the_same_bytes(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-m", "evalharness", "run", "--task", "sst2", "--task", "dialogsum", "--limit", "8"]
    base = FIXTURES / "models" / "tiny-base"
    shutil.copytree(base, tmp_path / "candidate")
    command += ["--model", f"c={tmp_path / 'candidate'}", "--base", base, "--allow-noop", "--explain", "--placebo"]
    command += ["--data-dir", FIXTURES / "world" / "rows", "--quiet"]
    contents = []
    for seed in ("0", "1", "2"):
        out = tmp_path / "out"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ended = subprocess.run(
            [*command, "--out", out, "--store", tmp_path / f"{seed}.sqlite"], env=environment, capture_output=True
        )
        assert ended.returncode == 0, ended.stderr
        contents.append(content(out))
        shutil.rmtree(out)
    record_property("injected", len(contents))
    assert contents[0] == contents[1] == contents[2]
