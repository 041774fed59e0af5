"""A run by Ray's workers leaves what a run without Ray leaves, to the byte, and no process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import exit_code
from engines.ray.conftest import gone, processes_of


def arguments(tmp_path: Path, zoo: dict[str, Path], small_world: Path, out: str) -> list[object]:
    models = ["--base", f"base={zoo['llama']}", "--model", f"lora={zoo['llama-lora']}", "--device", "cpu"]
    rows = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", "echo"]
    places = ["--out", tmp_path / out, "--store", tmp_path / f"{out}.sqlite", "--task", "yes_no", "--json"]
    return ["run", *models, *rows, *places]


@pytest.mark.slow
def test_the_results_are_those_of_the_engine_inside(
    tmp_path: Path, zoo: dict[str, Path], small_world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ray is started for the run and stopped with it; tests compute with one thread, as the worker does."""
    assert exit_code(*arguments(tmp_path, zoo, small_world, "hf")) == 0
    plain = capfd.readouterr().out
    command = [*arguments(tmp_path, zoo, small_world, "ray"), "--engine", "ray", "--engine-option", "workers=1"]
    assert exit_code(*command) == 0
    output = capfd.readouterr()
    assert output.out == plain
    assert (tmp_path / "ray" / "results.json").read_bytes() == (tmp_path / "hf" / "results.json").read_bytes()
    assert not [line for line in output.err.splitlines() if "ray" in line.lower()]
    (node,) = json.loads((tmp_path / "ray" / "run.json").read_text())["nodes"].values()
    assert (node["blocks"], node["requests"], node["loads"]) == (4, 120, 1)  # the base, once for both
    page = (tmp_path / "ray" / "report.html").read_text()
    assert "workers lost" in page and ">Nodes<" in page
    assert gone(processes_of(os.getpid()))


def test_an_address_without_a_cluster_and_without_the_engine_is_refused(
    tmp_path: Path, zoo: dict[str, Path], small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments(tmp_path, zoo, small_world, "out"), "--ray-address", "127.0.0.1:1"]
    assert exit_code(*command) == 2
    assert "--ray-address: is for --engine ray, not hf; add --engine ray" in capsys.readouterr().err


def test_more_workers_than_cores_are_refused(
    tmp_path: Path, zoo: dict[str, Path], small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments(tmp_path, zoo, small_world, "out"), "--engine", "ray", "--engine-option", "cpus=4096"]
    assert exit_code(*command) == 2
    assert "workers: 1 of 4096 CPU each, and this machine has" in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_refused_at_once(
    tmp_path: Path, zoo: dict[str, Path], small_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments(tmp_path, zoo, small_world, "out"), "--engine", "ray", "--ray-address", "127.0.0.1:1"]
    assert exit_code(*command) == 2
    assert "nothing listens at 127.0.0.1:1" in capsys.readouterr().err
