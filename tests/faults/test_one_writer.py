"""Two runs into one folder: the second is told before it reads a checkpoint, and nothing of the two is mixed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.cli import report as report_command
from evalharness.errors import StoreError, UsageError
from evalharness.folder_lock import LOCK, hold_folder
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.results import saving
from evalharness.run.output_folder import held_output

Doing = Callable[[], AbstractContextManager[object]]
ROWS = str(shipped("fixtures/world/rows"))
COMMANDS = {
    "run": ("run", "--model", "tuned={broken}", "--base", "{broken}", "--task", "sst2", "--data-dir", ROWS, "-q"),
    "trace": ("trace", "--stage", "tuned={broken}", "--base", "{broken}", "--task", "sst2", "--data-dir", ROWS, "-q"),
    "sweep": ("sweep", "--base", "{broken}", "--task", "topics", "--suite", "demo", "--data-dir", ROWS, "-q"),
    "demo": ("demo", "-q"),
    "compare": ("compare", "one={table}", "two={table}"),
    "data fetch": ("data", "fetch", "--task", "sst2", "--data-dir", ROWS, "--lock", "{folder}/lock.json"),
}


@pytest.fixture
def in_a_child() -> Callable[[Doing], int]:
    """Enter a context in a forked process that then waits to be killed; return its id once it is entered."""

    def fork(doing: Doing) -> int:
        reading, writing = os.pipe()
        if not (child := os.fork()):
            with contextlib.ExitStack() as stack:
                stack.enter_context(doing())
                os.write(writing, b"x")
                time.sleep(20)
            os._exit(0)
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        return child

    return fork


def killed(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.fault(37)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_second_is_told_before_it_reads_a_checkpoint(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "PATIENCE", 0.0)
    (broken := tmp_path / "broken").mkdir()
    (broken / "config.json").write_text("not a model")
    (table := tmp_path / "table.csv").write_text("id,score\n1,1\n2,0\n")
    out, places = tmp_path / "out", {"broken": broken, "table": table, "folder": tmp_path}
    option = "--to" if command == "data fetch" else "--out"
    with hold_folder(out, "--out"):
        before = sorted(path.name for path in out.iterdir())
        assert exit_code(*(part.format(**places) for part in COMMANDS[command]), option, out) == 2
        errors = capsys.readouterr().err.splitlines()[-1]
        assert f"Error: {option}: another run (process {os.getpid()}, begun 20" in errors
        assert errors.endswith(f" UTC) writes to {out}; give another folder, or wait until it has ended")
        assert sorted(path.name for path in out.iterdir()) == before
    assert not out.exists()


@pytest.mark.fault(37)
def test_a_report_is_not_written_into_a_run_under_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_command, "PATIENCE", 0.0)
    (tmp_path / "results.json").write_text("{}")
    with hold_folder(tmp_path, "--out"):
        assert exit_code("report", tmp_path) == 2
    assert "another run" in capsys.readouterr().err and not (tmp_path / "report.html").exists()


@pytest.mark.fault(37)
def test_what_takes_a_moment_waits_for_its_turn(tmp_path: Path, in_a_child: Callable[..., int]) -> None:
    child = in_a_child(lambda: hold_folder(tmp_path, "--out"))
    with pytest.raises(UsageError, match=f"another run .process {child}, begun"), hold_folder(tmp_path, "--out"):
        pass
    with pytest.raises(UsageError), hold_folder(tmp_path, "--out", patience=0.1):
        pass
    threading.Timer(0.1, killed, [child]).start()
    with hold_folder(tmp_path, "--out", patience=5.0):  # the lock ends with its process, though its file is still there
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()},")


@pytest.mark.fault(37)
def test_a_process_that_the_run_forked_does_not_hold_on(tmp_path: Path, in_a_child: Callable[..., int]) -> None:
    reading, writing = os.pipe()

    @contextmanager
    def hold_and_fork() -> Iterator[None]:
        with hold_folder(tmp_path, "--out"):
            os.write(writing, str(in_a_child(nullcontext)).encode())
            yield

    killed(in_a_child(hold_and_fork))
    orphan = int(os.read(reading, 20))
    try:
        with hold_folder(tmp_path, "--out"):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.fault(37)
def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = make_job("model", "demo")
    with held_output(job) as one, held_output(job) as two, held_output(job) as three:
        name = job.output.folder.name
        assert [each.output.folder.name for each in (one, two, three)] == [name, f"{name}-2", f"{name}-3"]
        (two.output.folder / "kept").write_text("")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [f"{name}-2"]
    with held_output(make_job("model", "demo", out=two.output.folder)) as again:
        assert again.output.folder == two.output.folder


@pytest.mark.fault(37)
def test_a_lock_that_is_a_link_overwrites_nothing(tmp_path: Path) -> None:
    (victim := tmp_path / "victim").write_text("mine")
    (out := tmp_path / "out").mkdir()
    (out / LOCK).symlink_to(victim)
    with pytest.raises(StoreError, match="cannot write here"), hold_folder(out, "--out"):
        pass
    assert victim.read_text() == "mine"


@pytest.mark.fault(9)
def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    said = r"files cannot be locked here .*; name a folder on another file system"
    with pytest.raises(StoreError, match=said), hold_folder(tmp_path / "out", "--out"):
        pass
