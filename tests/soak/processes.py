"""Run the command line in a process of its own, to its end or until it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def evalharness(arguments: Sequence[str]) -> None:
    """Run the command to its end; raise AssertionError with what it said if that is not 0."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=_offline())
    assert done.returncode == 0, done.stderr


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


COMMAND = (sys.executable, "-m", "evalharness")


def _offline() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
