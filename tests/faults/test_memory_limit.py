"""A process that may have no more memory ends with a clear error; what was answered is kept, and the run goes on."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faults.watching import WatchedFactory, answers_in

from evalharness.checkpoints.recognise import recognise
from evalharness.cli.main import main
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import NotComparableError
from evalharness.records.models import EngineSettings
from evalharness.run import evaluation
from evalharness.run.engine_slot import EngineSlot
from evalharness.run.run_log import RunLog

SLACK, MUCH = 256 << 20, 1 << 28  # bytes that a process may still take, and numbers for which these do not suffice
SETTINGS = EngineSettings(device="cpu")
MOMENTS = {"opening candidate": 4, "writing": 8}  # when memory ends, and how many answers are kept


def in_child(act: Callable[[], object], said: Path) -> int:
    """Run `act` in a fork of this process, its output in a file; the exit code."""
    child = os.fork()
    if child == 0:
        try:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            act()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException as error:
            code = 99
            print(repr(error), file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def take_much() -> None:
    """Take more memory than the operating system will give to this process from now on."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    torch.zeros(MUCH)


@pytest.mark.fault(13)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is not told here")
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_was_answered_before_memory_ended_is_kept(moment, zoo, small_world, tmp_path, monkeypatch) -> None:
    def run() -> None:
        models = ["--model", f"candidate={zoo['llama-lora']}", "--base", f"base={zoo['llama']}", "--device", "cpu"]
        tasks = ["--include-path", small_world / "tasks", "--data-dir", small_world / "data", "--task", "echo"]
        places = ["--out", tmp_path / "out", "--store", store, "--limit", "4", "-q"]
        main([str(each) for each in ("run", *models, *tasks, *places, "--target", "none")])

    store, said, heard = tmp_path / "store.sqlite", tmp_path / "said", []

    def tell(now: str) -> None:
        heard.append(now)
        if now == moment and "answered base" in heard:
            take_much()

    with monkeypatch.context() as little:
        little.setattr(evaluation, "factory_of", lambda settings: WatchedFactory(tell))
        if moment == "writing":
            little.setattr(evaluation, "gather", lambda *_: take_much())
        assert in_child(run, said) == 5
    assert len(answers_in(store)) == MOMENTS[moment]
    (line,) = said.read_text().splitlines()
    assert line.startswith("Error: ") and "more" in line and "what was answered is kept" in line
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.fault(13)
@pytest.mark.parametrize("step", ["evalharness.checkpoints.libraries.safe_open", "peft.PeftModel.load_adapter"])
def test_memory_that_does_not_suffice_is_no_fault_of_a_checkpoint(step, zoo, monkeypatch) -> None:
    checkpoint = recognise(str(zoo["llama-lora"]), base=str(zoo["llama"]))

    def fail(*_, **__) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(step, fail)
    with pytest.raises(NotComparableError, match=r"open raised MemoryError .*give it more memory"):
        EngineSlot(FACTORY, SETTINGS, FACTORY.describe(checkpoint, SETTINGS), RunLog()).engine_of(checkpoint)
