"""Compute in processes of one thread each, so that answers do not depend on the number of processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Value = TypeVar("Value")


@contextmanager
def one_thread_each(processes: int) -> Iterator[Executor]:
    """Yield an executor with so many processes; for one process, it computes here at each call. torch has one thread
    here, too, during the block. After an error or an interrupt the processes end at once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Here() if processes == 1 else _Processes(processes) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)


class Here(Executor):
    """An executor that computes in the caller's own process, at once."""

    def submit(self, function: Callable[..., Value], /, *arguments: Any, **keywords: Any) -> Future[Value]:
        future: Future[Value] = Future()
        future.set_result(function(*arguments, **keywords))
        return future


class _Processes(ProcessPoolExecutor):
    """Runs new processes, which ignore interrupts."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes, mp_context=multiprocessing.get_context("spawn"), initializer=begin)

    def __exit__(self, kind: object, *about: object) -> None:
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)
        for child in multiprocessing.active_children() if kind is not None else ():
            child.terminate()


def begin() -> None:
    """Set up a process: one thread, and no reaction to SIGINT, which a terminal sends to all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
