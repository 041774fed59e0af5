"""Run a command in a forked child of this process, and kill it at any of its writes, renames, removals and commits."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.engines.scripted import ScriptedEngine

AUDITED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, None where it was killed; how many events it came to; what its scripted engine
    was asked, as (model, request id).
    """

    code: int | None
    events: int
    requests: list[tuple[str, str]]


def run_child(action: Callable[[], int], root: Path, kill_at: int | None = None) -> Ended:
    """Call `action`, which gives the exit code, in a forked child, and kill it (SIGKILL) at event `kill_at`, counted
    from 0. Events are what changes files below `root`: opening to write, fsync (half of what was written is lost),
    renaming, removing; and before and after each commit of SQLite's.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        _child(action, _Hooks(root, kill_at, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status)
    assert not killed or os.WTERMSIG(status) == signal.SIGKILL
    said = [line.split("\t")[1] for line in lines if line.startswith("traceback\t")]
    assert not said, said[0].encode().decode("unicode_escape")
    requests = [tuple(line.split("\t")[1:]) for line in lines if line.startswith("request\t")]
    events = sum(line == "event" for line in lines)
    return Ended(None if killed else os.waitstatus_to_exitcode(status), events, requests)


class _Hooks:
    def __init__(self, root: Path, kill_at: int | None, pipe: int) -> None:
        self.root, self.left, self.pipe = str(root), kill_at, pipe

    def say(self, line: str) -> None:
        os.write(self.pipe, f"{line}\n".encode())

    def event(self, before: Callable[[], object] = lambda: None) -> None:
        self.say("event")
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                before()
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in AUDITED or isinstance(arguments[0], int):
            return
        path = os.fsdecode(arguments[0])
        inside = path.startswith(self.root) or not path.startswith("/")  # relative ones are below an open folder
        if inside and (name != "open" or arguments[2] & WRITES):
            self.event()

    def install(self) -> None:
        plain_fsync, plain_connect, plain_answer, hooks = os.fsync, sqlite3.connect, ScriptedEngine.answer, self

        def fsync(descriptor: int) -> None:
            hooks.event(lambda: os.truncate(descriptor, os.fstat(descriptor).st_size // 2))
            plain_fsync(descriptor)

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
                if sql != "COMMIT":
                    return super().execute(sql, *more)
                hooks.event()
                done = super().execute(sql, *more)
                hooks.event()
                return done

        def answer(engine: ScriptedEngine, requests: Any) -> Any:
            for request in requests:
                hooks.say(f"request\t{engine._checkpoint.fingerprint}\t{request.id}")
            return plain_answer(engine, requests)

        os.fsync, ScriptedEngine.answer = fsync, answer
        sqlite3.connect = lambda *given, **named: plain_connect(*given, **named, factory=Connection)
        sys.addaudithook(self.audit)


def _child(action: Callable[[], int], hooks: _Hooks) -> None:
    code = 99
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nothing, descriptor)
        hooks.install()
        code = action()
    except BaseException:
        hooks.say("traceback\t" + traceback.format_exc().encode("unicode_escape").decode())
    finally:
        os._exit(code)
