"""Run the workers: send blocks, collect answers, replace lost workers, and give up on a block that kills them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from evalharness import __version__
from evalharness.engines.ray.cluster import Cluster
from evalharness.engines.ray.options import RayOptions, ray_options
from evalharness.engines.ray.schedule import CallQueue, ModelKey, WorkerCall, key_of
from evalharness.engines.ray.worker import Worker, WorkerFacts
from evalharness.engines.spreading import AnsweredBlock, BlockJob
from evalharness.errors import EvalHarnessError, NotComparableError, UsageError, first_line
from evalharness.interruption import stop_if_interrupted
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure

RETRIES = 3  # tries of a block after the first
POLL = 0.5  # seconds between checks for an interrupt
KEPT = "give the command again: what was answered is kept"
ANSWER = "answer"


@dataclass(slots=True)
class _Place:
    """One worker, or one that is starting.

    `actor`: Ray's handle of the worker. `ref`: Ray's reference to its start or its task. `facts`: its node and version,
    None until it has started. `task`: the call that it works on, None if it is free. `has_open`: the checkpoint that it
    has open. `failed_starts`: how often it could not be started in a row.
    """

    actor: Any = None
    ref: Any = None
    facts: WorkerFacts | None = None
    task: WorkerCall | None = None
    has_open: Checkpoint | None = None
    failed_starts: int = 0

    @property
    def node(self) -> str:
        return self.facts.node if self.facts else "a node"


class WorkerPool:
    """Workers whose engines have the same settings. Raises UsageError if none can be started in time."""

    def __init__(self, settings: EngineSettings) -> None:
        self.options: RayOptions = ray_options(settings)
        self._cluster = Cluster(self.options)
        self._infos: dict[ModelKey, EngineInfo] = {}
        self._queue, self._jobs = CallQueue(), dict[int, BlockJob]()
        self._idle_since = time.monotonic()  # when a worker was last there
        try:
            count, self._gpus = self._cluster.workers_of(self.options)
            self._places = [self._started(_Place()) for _ in range(count)]
            self._wait_for_workers(count)
        except BaseException:
            self._cluster.close()
            raise

    def close(self) -> None:
        """End all workers, and Ray if it was started here."""
        try:
            for place in self._places:
                ray.kill(place.actor)
        finally:
            self._cluster.close()

    def describe(self, checkpoint: Checkpoint) -> EngineInfo:
        """Return the engine info on which all nodes agree for this checkpoint. Raises ModelError if a node lacks its
        files, and NotComparableError if one would answer differently.
        """
        key = key_of(checkpoint)
        if key not in self._infos:
            self._wait_for_workers(1)
            nodes = {place.facts.node: place for place in self._places if place.facts}
            refs = {node: place.actor.describe.remote(checkpoint) for node, place in nodes.items()}
            infos = {node: _value(ref, f"node {node}") for node, ref in refs.items()}
            first, info = next(iter(infos.items()))
            for node, other in infos.items():
                if other.fingerprint != info.fingerprint:
                    names = [name for name in {**info.details, **other.details} if not _agree(info, other, name)]
                    what = f"would answer otherwise than {first} ({', '.join(sorted(names))})"
                    raise NotComparableError(f"node {node}", what, "have the same versions and devices on every node")
            self._infos[key] = info
        return self._infos[key]

    def add(self, job: BlockJob) -> None:
        """Queue a block for an answer."""
        self._jobs[job.number] = job
        arguments = (job.requests, job.drafts)
        self._queue.add(WorkerCall(job.checkpoint, ANSWER, arguments, job.number))

    def finished(self) -> Iterator[AnsweredBlock]:
        """Yield each added block when it is answered or given up. Raises EvalHarnessError if a model cannot be opened,
        and if no worker is left.
        """
        for task, value in self._results():
            if task.number in self._jobs:
                yield self._answered(self._jobs.pop(task.number), task, value)

    def call(self, checkpoint: Checkpoint, method: str, *arguments: Any) -> Any:
        """Call a method of a worker for this checkpoint, and return its value. Raises what the method raises."""
        own = WorkerCall(checkpoint, method, arguments)
        self._queue.add(own)
        for task, value in self._results():
            if task is own:
                if isinstance(value, BaseException):
                    raise value
                return value
        raise AssertionError("a task without a result")

    # ---- tasks -------------------------------------------------------------------------------------------------------

    def _results(self) -> Iterator[tuple[WorkerCall, Any]]:
        """Yield each task with its value, or with the exception that ended it."""
        while len(self._queue) or any(place.task for place in self._places):
            stop_if_interrupted()
            self._hand_out()
            yield from self._look()

    def _hand_out(self) -> None:
        at_work = Counter(key_of(place.has_open) for place in self._places if place.task and place.has_open)
        for place in self._places:
            if place.ref is None and (task := self._queue.take(place.has_open, at_work)):
                place.task, place.has_open = task, task.checkpoint
                at_work[key_of(task.checkpoint)] += 1
                engine = self.describe(task.checkpoint).fingerprint
                place.ref = getattr(place.actor, task.method).remote(task.checkpoint, engine, *task.arguments)

    def _look(self, most: float = POLL) -> list[tuple[WorkerCall, Any]]:
        """Return the tasks that ended or were given up since the last look; wait for one, at most `most` seconds."""
        at = {place.ref: place for place in self._places if place.ref is not None}
        ready, _ = ray.wait(list(at), num_returns=1, timeout=max(0.0, min(most, POLL)))
        ends = [self._ended(at[ref]) for ref in ready]
        if any(place.facts for place in self._places):
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > self.options.wait + POLL:
            raise NotComparableError("engine ray", self._no_worker(), KEPT)
        return [end for end in ends if end is not None]

    def _ended(self, place: _Place) -> tuple[WorkerCall, Any] | None:
        """Return a task's result; None if it is tried again, and if a worker has started."""
        task, ref, place.task, place.ref = place.task, place.ref, None, None
        try:
            value = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if task is None:
                raise _no_start(error) from error
            place.has_open = None
            if isinstance(cause, EvalHarnessError) or task.method != ANSWER:
                return task, cause
            return self._again(task, f"{type(cause).__name__}: {first_line(cause)}")
        except RayError as error:
            return self._lost(place, task, error)
        if task is None:
            self._welcome(place, value)
            return None
        return task, value

    def _lost(self, place: _Place, task: WorkerCall | None, error: RayError) -> tuple[WorkerCall, Any] | None:
        if task is None:  # the worker was lost before it had started
            place.failed_starts += 1
            if place.failed_starts > RETRIES or getattr(error, "actor_init_failed", True):
                raise _no_start(error) from error
        node = place.node
        self._started(place)
        if task is None:
            return None
        task.losses.append(node)
        return self._again(task, f"its worker was lost ({type(error).__name__})")

    def _again(self, task: WorkerCall, problem: str) -> tuple[WorkerCall, Any] | None:
        task.tries, task.problem = task.tries + 1, problem
        if task.tries > RETRIES:
            what = f"not answered in {task.tries} tries; the last time: {problem}"
            return task, NotComparableError(task.checkpoint.name, what, KEPT)
        self._queue.add(task)
        return None

    def _answered(self, job: BlockJob, task: WorkerCall, value: Any) -> AnsweredBlock:
        if isinstance(value, BaseException):
            if task.tries <= RETRIES:
                raise value
            reason = f"the block of {len(job.requests)} requests is given up after {task.tries} tries: {task.problem}"
            answers: tuple[Any, ...] = tuple(Failure(request_id=each.id, reason=reason) for each in job.requests)
            return AnsweredBlock(job=job, answers=answers, cost=None, losses=tuple(task.losses))
        answers, cost = value
        return AnsweredBlock(job=job, answers=answers, cost=cost, losses=tuple(task.losses))

    # ---- workers -----------------------------------------------------------------------------------------------------

    def _started(self, place: _Place) -> _Place:
        """Start a worker, also in the place of a lost one."""
        if place.actor is not None:
            ray.kill(place.actor)
        threads = str(self.options.threads)
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        if not self._gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ""
        maker = ray.remote(Worker).options(
            num_cpus=self.options.cpus,
            num_gpus=self._gpus,
            runtime_env={"env_vars": variables},
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        place.actor, place.facts, place.has_open = maker.remote(self.options.inner, self.options.threads), None, None
        place.ref = place.actor.facts.remote()
        return place

    def _welcome(self, place: _Place, facts: WorkerFacts) -> None:
        if facts.version != __version__:
            what = f"has evalharness {facts.version}, and the run is by {__version__}"
            raise UsageError(f"node {facts.node}", what, "install the same version on every node")
        place.facts, place.failed_starts = facts, 0

    def _wait_for_workers(self, enough: int) -> None:
        """Wait until `enough` workers have started, at most for the time in the options; after that one is enough.
        Raises UsageError.
        """
        end = time.monotonic() + self.options.wait
        while (count := sum(place.facts is not None for place in self._places)) < enough and time.monotonic() < end:
            stop_if_interrupted()
            self._look(end - time.monotonic())
        if not count:
            raise UsageError("engine ray", self._no_worker(), "ask for less with --engine-option cpus=, gpus=, wait=")

    def _no_worker(self) -> str:
        there = ", ".join(f"{self._cluster.resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        one = f"{self.options.cpus:g} CPU" + (f" and {self._gpus:g} GPU" if self._gpus else "")
        return f"no worker could be started in {self.options.wait:g} s: each asks for {one}; the cluster had {there}"


def _agree(one: EngineInfo, other: EngineInfo, name: str) -> bool:
    return bool(one.details.get(name) == other.details.get(name))


def _value(ref: Any, where: str) -> Any:
    """Wait for the value of a call, and stop at an interrupt. Raises EvalHarnessError."""
    while not ray.wait([ref], timeout=POLL)[0]:
        stop_if_interrupted()
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, EvalHarnessError):
            raise error.cause from None
        raise
    except RayError as error:
        raise NotComparableError(where, f"its worker was lost ({type(error).__name__})", KEPT) from error


def _no_start(error: RayError) -> UsageError:
    """Make the error for a worker that could not be started, with the last line of its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fix = "install evalharness, with the extras [ray] and of the engine inside, on every node"
    return UsageError("engine ray", f"a worker cannot be started ({lines[-1] if lines else type(error).__name__})", fix)
