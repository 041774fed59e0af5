"""`engine check`: its table, its JSON, its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import exit_code


def test_equal_engines_end_with_0_and_others_with_5(
    zoo: dict[str, Path], small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"hf={zoo['llama']}"
    rows = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", "yes_no"]
    command = ["engine", "check", model, model, *rows, "--limit", "4", "--device", "cpu", "--quiet"]
    assert exit_code(*command, "--b", "batch_size=1") == 0
    shown = capsys.readouterr().out
    assert f"A: {model} (engine " in shown and "A and B (the same requests)" in shown
    assert "equal: within 0.0001 nats, 100 % of the texts alike" in shown
    assert "B's own noise: largest |Δ| 0 nats, 0 best choices and 0 texts changed, asked twice again" in shown
    assert exit_code(*command, "--b", "dtype=bfloat16", "--tolerance", "1e-6", "--json") == 5
    document = json.loads(capsys.readouterr().out)
    assert document["equal"] is False and document["between"][0]["largest"] > 1e-6
    assert exit_code("engine", "check", "hf=nowhere", model, *rows, "--quiet") == 2
