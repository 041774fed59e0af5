"""The demo's suite on a cluster of two nodes: what is lost on the way, node, run or both, changes nothing at last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code
from engines.ray.conftest import gone, processes_of

from evalharness.paths import shipped

pytestmark = pytest.mark.slow
WORLD = shipped("fixtures/world/rows")
BASE = shipped("fixtures/models") / "tiny-base"
BLOCKS = 45  # of 15 tasks and 3 models


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One with full weights and one with LoRA, trained for a few steps."""
    folder = tmp_path_factory.mktemp("candidates")
    for method in ("full", "lora"):
        command = ["train", "--base", BASE, "--task", "rte", "--method", method, "--steps", "8", "--quiet"]
        assert exit_code(*command, "--data-dir", WORLD, "--out", folder / method) == 0
    return [folder / "full", folder / "lora"]


class Run:
    """A run of a process of its own into `out`."""

    def __init__(self, out: Path, candidates: list[Path], *options: str) -> None:
        self.out = out
        models = [part for path in candidates for part in ("--model", path)]
        rows = ["--suite", "demo", "--limit", "60", "--data-dir", WORLD, "--base", f"base={BASE}", "--device", "cpu"]
        places = ["--out", out, "--store", out.with_suffix(".sqlite"), "--verbose"]
        self.command = [sys.executable, "-m", "evalharness", *map(str, ["run", *models, *rows, *places]), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = subprocess.Popen(self.command, env=environment, stderr=subprocess.PIPE, text=True)

    def after(self, blocks: int) -> None:
        """Wait until so many blocks are answered."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            blocks -= "computed" in line
            if not blocks:
                return
        raise AssertionError("it ended before")

    def end(self) -> int:
        """Wait for its end: the exit code."""
        self.said = self.process.communicate(timeout=600)[1]
        return self.process.returncode

    @property
    def results(self) -> bytes:
        return (self.out / "results.json").read_bytes()

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.out / "run.json").read_text())
        return facts


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, candidates: list[Path]) -> bytes:
    """results.json of one process without Ray."""
    run = Run(tmp_path_factory.mktemp("plain") / "out", candidates)
    assert run.end() == 0
    return run.results


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the second is `second`."""
    utils = pytest.importorskip("ray.cluster_utils")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.second = cluster.add_node(num_cpus=1)
    try:
        yield cluster
    finally:
        cluster.shutdown()
    assert gone(processes_of(os.getpid()))


def on(cluster: Any) -> tuple[str, ...]:
    return ("--engine", "ray", "--ray-address", cluster.address)


def test_two_nodes_leave_what_one_process_leaves(
    cluster: Any, tmp_path: Path, candidates: list[Path], plain: bytes
) -> None:
    run = Run(tmp_path / "out", candidates, *on(cluster))
    assert run.end() == 0, run.said
    assert run.results == plain
    nodes = run.facts["nodes"].values()
    assert len(nodes) == 2 and sum(node["blocks"] for node in nodes) == BLOCKS and all(n["blocks"] for n in nodes)
    assert len(run.facts["loads"]) == 2 and all(node["loads"] <= 4 for node in nodes)


def test_a_node_that_is_lost_half_way_costs_a_block(
    cluster: Any, tmp_path: Path, candidates: list[Path], plain: bytes
) -> None:
    run = Run(tmp_path / "out", candidates, *on(cluster))
    run.after(BLOCKS // 3)
    cluster.remove_node(cluster.second, allow_graceful=False)
    assert run.end() == 0, run.said
    assert run.results == plain
    assert sum(node["workers_lost"] for node in run.facts["nodes"].values()) == 1


def test_a_run_that_is_killed_goes_on_from_what_was_answered(
    cluster: Any, tmp_path: Path, candidates: list[Path], plain: bytes
) -> None:
    first = Run(tmp_path / "out", candidates, *on(cluster))
    first.after(BLOCKS // 3)
    first.process.kill()
    assert first.end() == -signal.SIGKILL
    second = Run(tmp_path / "out", candidates, *on(cluster))
    assert second.end() == 0, second.said
    assert second.results == plain
    assert sum(model["stored"] for model in second.facts["models"].values()) > 0


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_takes_its_processes_with_it(
    tmp_path: Path, candidates: list[Path], plain: bytes, signalled: signal.Signals
) -> None:
    run = Run(tmp_path / "out", candidates, "--engine", "ray")
    run.after(3)
    processes = processes_of(run.process.pid)
    assert processes
    run.process.send_signal(signalled)
    assert run.end() == (143 if signalled == signal.SIGTERM else -signal.SIGKILL)
    assert gone(processes, seconds=120)  # after SIGKILL Ray's agents look for their node for half a minute
    if signalled == signal.SIGTERM:
        assert "What is done so far is kept" in run.said
    again = Run(tmp_path / "out", candidates)  # the engine without Ray goes on from the same answers
    assert again.end() == 0, again.said
    assert again.results == plain
    assert sum(model["stored"] for model in again.facts["models"].values()) >= 180
