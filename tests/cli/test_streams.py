from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from measured_runs import both, measured_run, plan, task

from evalharness import results
from evalharness.analysis.analyse import analyse

COMMAND = [sys.executable, "-m", "evalharness", "gate"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a candidate that forgot."""
    folder = tmp_path_factory.mktemp("run")
    measured = measured_run([task("sst2")], both("sst2", 400, 350, lost=80), plan())
    results.write_measurements(folder, measured)
    results.write_results(folder, analyse(measured))
    return folder


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp437"])
def test_a_stdout_that_lacks_signs_shows_their_likeness_and_keeps_the_exit_code(run: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run([*COMMAND, run], capture_output=True, env=environment)
    assert ended.returncode == 3, ended.stderr
    assert b"crashed" not in ended.stderr
    assert "-0." in ended.stdout.decode(encoding)


def test_a_reader_that_has_gone_keeps_the_exit_code(run: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([*COMMAND, run], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (3, b"")


@pytest.mark.fault(5)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(("options", "code"), [(["gate"], 3), (["compare", "--json"], 5)])
def test_a_full_stdout_is_said_and_keeps_the_verdict(run: Path, options: list[str], code: int) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*COMMAND[:-1], *options, run], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == code
    assert ended.stderr.count("stdout: output is lost (No space left on device)") == 1


def test_closed_streams_keep_the_exit_code(run: Path) -> None:
    script = f"{' '.join(map(str, [*COMMAND, run]))} >&- 2>&-"
    assert subprocess.run(["sh", "-c", script]).returncode == 3
