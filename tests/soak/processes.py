"""Run the command line in a process of its own, to its end or until it is killed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from command_line import exit_code


def evalharness(arguments: Sequence[str]) -> None:
    """Run the command to its end; raise AssertionError with what it said if that is not 0."""
    process = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=_offline())
    assert process.returncode == 0, process.stderr


def killed(arguments: Sequence[str], after: float) -> int:
    """1 if the process was still running after `after` seconds, and was killed (SIGKILL); 0 if it had finished."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_offline()
    )
    try:
        process.wait(after)
        return 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 1


def forked(arguments: Sequence[str], kill_after: float | None = None) -> int:
    """Run the command in a forked child of this process, where torch is imported already and computes in one thread; 1
    if it was killed after so many seconds, 0 if it had finished. Raises AssertionError with what it said if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        if not (child := os.fork()):
            code = 99
            try:
                written = os.open(said, os.O_WRONLY | os.O_CREAT)
                for descriptor in (1, 2):
                    os.dup2(written, descriptor)
                code = exit_code(*arguments)
            finally:
                os._exit(code)
        deadline = time.monotonic() + (math.inf if kill_after is None else kill_after)
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
        if os.WIFSIGNALED(ended[1]) and kill_after is not None:
            return 1
        assert ended[1] == 0, said.read_text()
    return 0


COMMAND = (sys.executable, "-m", "evalharness")


def _offline() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
