"""Start Ray on this machine or connect to a running cluster, and clean up afterwards."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import worker as driver

from evalharness.engines.ray.options import CPU, RayOptions
from evalharness.errors import UsageError, first_line

WHERE = "--ray-address"
ANSWERS_KEPT = 256 << 20  # bytes of shared memory for blocks in transit
LONGEST = 40  # characters of a folder's path that leave space for the names of Ray's sockets
SECONDS = 5  # time for a connection to a cluster's address
RIGHT = (
    "auto, for the one of this machine, or HOST:PORT as `ray start` prints it would be right; where Ray wants a token, "
    "the same one (~/.ray/auth_token, or RAY_AUTH_MODE=disabled) everywhere"
)
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}


class Cluster:
    """A connection to Ray: the process's own if it has one, else one that is opened here. Raises UsageError if that is
    impossible.
    """

    def __init__(self, options: RayOptions) -> None:
        self._folder, self._own = "", not ray.is_initialized()
        if self._own:
            self._print = driver.print_to_stdstream
            driver.print_to_stdstream = _print_nothing  # it reports lost workers on stdout, which may hold a document
            try:
                with _signals_kept(), _environment(QUIET):
                    logging.getLogger("ray").setLevel(logging.ERROR)
                    self._begin(options)
            except BaseException:
                self.close()
                raise
        self.resources: dict[str, float] = dict(ray.cluster_resources())  # type: ignore[no-untyped-call]

    def _begin(self, options: RayOptions) -> None:
        quiet: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
        if options.address:
            _check_listens(options.address)
            try:
                ray.init(address=options.address, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UsageError(WHERE, f"no cluster at {options.address} ({first_line(error)})", RIGHT) from error
            return
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if (options.workers or 1) * options.cpus > cores:
            what = f"{options.workers or 1} of {options.cpus:g} CPU each, and this machine has {cores}"
            raise UsageError("--engine-option workers", what, "fewer, or fewer cpus for each, would be right")
        temporary = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix="ray-", dir=temporary if len(temporary) < LONGEST - 12 else "/tmp")
        ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=ANSWERS_KEPT,
            _temp_dir=self._folder,
            **quiet,
        )

    def workers_of(self, options: RayOptions) -> tuple[int, float]:
        """Return the number of workers and the GPUs for each; by default as many workers as the resources allow."""
        there = self.resources.get("GPU", 0.0)
        gpus = (1.0 if there and options.inner.device != CPU else 0.0) if options.gpus is None else options.gpus
        share = there / gpus if gpus else self.resources.get("CPU", 0.0) / options.cpus
        return options.workers or max(1, math.floor(share)), gpus

    def close(self) -> None:
        """Disconnect, and stop Ray if it was started here."""
        if self._own:
            ray.shutdown()
            driver.print_to_stdstream = self._print
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)


def _check_listens(address: str) -> None:
    """Raise UsageError if nothing listens at HOST:PORT, because Ray would try for minutes and ignore Ctrl-C."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isascii() and port.isdigit()) or "/" in host:
        return  # auto, or ray://HOST:PORT
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise UsageError(WHERE, f"nothing listens at {address} ({first_line(error)})", RIGHT) from error


def _print_nothing(*_: Any, **__: Any) -> None:
    """Replace Ray's function that prints the messages of its processes."""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the signal handlers that Ray replaces, because Ray's would end the process without storing answers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
