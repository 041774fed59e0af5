"""What was not measured is nowhere a number, and the gate concludes nothing of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.paths import shipped


def test_a_suite_of_nothing_but_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, out = shipped("fixtures/models") / "tiny-base", tmp_path / "out"
    models = ("--model", f"s={base}", "--base", base, "--target", "cola", "--device", "cpu", "--allow-noop")
    tasks = ("--task", "cola", "--data-dir", shipped("fixtures/benchmarks"), "--limit", 4)
    capsys.readouterr()
    assert exit_code("run", *models, *tasks, "--out", out, "--store", tmp_path / "store.sqlite") == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "(suite)" in line)
    assert row.split()[3:5] == ["–", "–"]

    (suite,) = (c for c in json.loads((out / "results.json").read_text())["comparisons"] if c["level"] == "suite")
    numbers = ("difference", "lost", "gained", "p_forgotten", "p_forgotten_adjusted", "p_retained", "p_difference")
    assert suite["base"] is suite["candidate_score"] is None
    assert suite["n"] == 0 and all(suite[key] is None for key in numbers)
    assert exit_code("gate", out) == exit_code("gate", out, "--on-inconclusive", "pass") == 5
    says = "incomplete: nothing was measured of s over suite: cola is its target, and the suite leaves that out"
    assert says in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert "s is incomplete" in page and "nothing was measured of s over suite" in page and "not measured</td>" in page
    assert not re.search(r"0\.00 margins", page)
    assert 'id="tradeoff' not in page
