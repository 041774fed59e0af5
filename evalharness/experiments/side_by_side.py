"""Train several candidates at the same time, in a process for each core.

Each process has one thread, so that the weights do not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from evalharness.data.sources import DataSource
from evalharness.errors import EvalHarnessError, NotComparableError
from evalharness.experiments.candidates import is_made, replace_candidate
from evalharness.run.progress import ProgressListener
from evalharness.tasks.library import Library
from evalharness.training.data import TrainingSet, gather
from evalharness.training.output_lock import UnfinishedOutput
from evalharness.training.recipe import Recipe
from evalharness.training.states import resume_note

MEMORY = 3 << 29  # bytes that must be free for every process: torch, peft and a small model
SAVING = 60.0  # seconds for a training to save its state when it is stopped
Training = tuple[Recipe, TrainingSet]


def make_candidates(
    recipes: Sequence[Recipe], source: DataSource, listener: ProgressListener, processes: int | None = None
) -> list[Path]:
    """Train the candidates that do not exist yet, `processes` at a time (None: as many as cores and free memory allow),
    and return the paths of all.

    An interrupt ends every training with its state saved. After an error the running trainings finish and no other
    starts; then the first error is raised.
    """
    trainings: list[Training] = []
    for recipe in recipes:
        examples = gather(recipe, Library(), source)
        if is_made(recipe, examples):
            listener.phase(f"{name_of(recipe)} is trained already")
        else:
            trainings.append((recipe, examples))
    number = min(len(trainings), processes or possible_processes())
    if number > 1:
        _train_in(number, trainings, listener)
    else:
        _train_here(trainings, listener)
    return [Path(recipe.out) for recipe in recipes]


def name_of(recipe: Recipe) -> str:
    """Return a candidate's name, that of its folder."""
    return Path(recipe.out).name


def possible_processes() -> int:
    """Return how many trainings cores and free memory allow at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        free = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        free = None  # not Linux
    return max(1, cores if free is None else min(cores, int(free[1]) * 1024 // MEMORY))


def _train_here(trainings: Sequence[Training], listener: ProgressListener) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for recipe, examples in trainings:
            listener.phase(f"training {name_of(recipe)}")
            replace_candidate(recipe, examples, partial(_tell, listener, name_of(recipe)))
    finally:
        torch.set_num_threads(threads)


def _tell(listener: ProgressListener, name: str, text: str) -> None:
    listener.phase(f"{name}: {text}")


# ---- in processes ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Worker:
    """A process that trains one candidate after another. `connection`: this end of the pipe to it. `recipe`: the one it
    trains, None if it is idle.
    """

    process: SpawnProcess
    connection: Connection
    recipe: Recipe | None = None  # of the candidate that it trains


@dataclass(slots=True)
class _Progress:
    """The state of all trainings. `waiting`: those not begun. `completed`: names of candidates. `errors`: of failed
    trainings.
    """

    waiting: list[Training]
    completed: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


def _train_in(number: int, trainings: Sequence[Training], listener: ProgressListener) -> None:
    progress = _Progress(list(trainings))
    with _workers(number) as workers:
        try:
            for worker in workers:
                _give_next(worker, progress, listener)
            while busy := [each for each in workers if each.recipe is not None]:
                ready = wait([each.connection for each in busy])
                for worker in busy:
                    if worker.connection in ready:
                        _hear(worker, progress, listener)
        except KeyboardInterrupt as interrupt:
            under_way = [worker.recipe for worker in workers if worker.recipe is not None]
            _stop(workers)
            for recipe in under_way:
                interrupt.add_note(f"{name_of(recipe)}: {resume_note(UnfinishedOutput(Path(recipe.out)).states)}")
            raise
    if progress.errors:
        raise progress.errors[0]


@contextmanager
def _workers(number: int) -> Iterator[list[_Worker]]:
    """Start processes, and end them."""
    context, workers = multiprocessing.get_context("spawn"), list[_Worker]()
    try:
        with _ignored_by_children():
            for _ in range(number):
                ours, theirs = context.Pipe()
                workers.append(_Worker(context.Process(target=serve, args=(theirs,), daemon=True), ours))
                workers[-1].process.start()
                theirs.close()
        yield workers
    finally:
        _stop(workers)


@contextmanager
def _ignored_by_children() -> Iterator[None]:
    """Make processes that start here ignore SIGINT, which a terminal sends to all: this process ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _give_next(worker: _Worker, progress: _Progress, listener: ProgressListener) -> None:
    """Send the worker the next candidate, if one waits and none has failed."""
    worker.recipe = None
    if progress.waiting and not progress.errors:
        training = progress.waiting.pop(0)
        worker.recipe = training[0]
        listener.phase(f"training {name_of(training[0])}")
        with contextlib.suppress(OSError):  # the next read of its pipe reports a dead process
            worker.connection.send(training)


def _hear(worker: _Worker, progress: _Progress, listener: ProgressListener) -> None:
    """Read one message: a line of progress, an error, or None for a complete candidate."""
    assert worker.recipe is not None
    name = name_of(worker.recipe)
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        what = f"the process that trained it ended with exit code {worker.process.exitcode}"
        message = NotComparableError(name, what, "give the same command again, with more memory free")
        worker.recipe = None
    if isinstance(message, str):
        _tell(listener, name, message)
        return
    if message is None:
        progress.completed.append(name)
    else:
        progress.errors.append(message)
        listener.notice(f"{name} could not be trained; kept: {', '.join(progress.completed) or 'none yet'}")
    if worker.recipe is not None:
        _give_next(worker, progress, listener)


def _stop(workers: Sequence[_Worker]) -> None:
    """End the processes: idle ones at once, the others after they saved their states."""
    for worker in workers:
        if worker.recipe is None:
            worker.connection.close()
        elif worker.process.is_alive():
            worker.process.terminate()  # its pipe stays open, because it may still write
    for worker in workers:
        worker.process.join(SAVING)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def serve(connection: Connection) -> None:
    """Train the recipes that come through the pipe, and send back lines of progress, then None or the error. Ends with
    the pipe, or at SIGTERM.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        while True:
            recipe, examples = connection.recv()
            try:
                replace_candidate(recipe, examples, connection.send)
            except (EvalHarnessError, MemoryError) as error:
                connection.send(error)
            except (BrokenPipeError, ConnectionResetError):
                raise  # the parent has gone
            except Exception:
                connection.send(RuntimeError(f"{name_of(recipe)}:\n{traceback.format_exc()}"))
            else:
                connection.send(None)
