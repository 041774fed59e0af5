"""One checkpoint's turn: prepared tasks in, measurements out. The engine takes its slot when the first answer is
missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evalharness import results
from evalharness.engines.adapter_check import Proof, prove, remark
from evalharness.engines.base import Engine, EngineFactory
from evalharness.records.job import Job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, PreparedTask, Rank, Ranking, Request, Response, Score
from evalharness.records.tokenizers import TokenCounter
from evalharness.run.collect import Lane, collect
from evalharness.run.measure import measure
from evalharness.run.plan import RunPlan
from evalharness.run.progress import ProgressListener
from evalharness.run.run_log import RunLog, tell
from evalharness.store import Store

PROOF_PROMPTS = 16
MOST_OF_A_TEXT = 100  # characters, where a text is scored whole and there is no prompt
EFFICIENCY = "efficiency"  # of --describe


Turns = tuple[list[Checkpoint], list[Checkpoint]]


class EngineSlot:
    """Where the engine sits that answers. Use as a context manager: it is empty at the end."""

    def __init__(self, factory: EngineFactory, settings: EngineSettings, run_log: RunLog) -> None:
        self.factory, self._settings, self._run_log = factory, settings, run_log
        self._engine: Engine | None = None
        self._checkpoint: Checkpoint | None = None

    def __enter__(self) -> EngineSlot:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def holds(self, checkpoint: Checkpoint) -> bool:
        return self._engine is not None and self._checkpoint == checkpoint

    def give(self, checkpoint: Checkpoint) -> Engine:
        """The engine of `checkpoint`, opened after the one that sits here. Raises ModelError; then the slot is
        empty.
        """
        if self._engine is not None and self.holds(checkpoint):
            return self._engine
        before, last = self._engine, self._checkpoint
        self._engine = self._checkpoint = None
        try:
            engine = self.factory.open(checkpoint, self._settings, before)
        except BaseException:
            if before is not None:
                before.close()
            raise
        if last is None or weights_of(last) != weights_of(checkpoint):
            self._run_log.loaded(" ".join(filter(None, (str(checkpoint.weights), checkpoint.precision))))
        self._engine, self._checkpoint = engine, checkpoint
        return engine

    def clear(self) -> None:
        """Free the memory."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self._checkpoint = None


def weights_of(checkpoint: Checkpoint) -> tuple[Path, str]:
    """What has to be in memory for it to answer, adapters aside."""
    return checkpoint.weights, checkpoint.precision


def turns(run_plan: RunPlan) -> Turns:
    """In which order checkpoints are proven, and in which they are measured: other full weights before the base's and
    after them, so that the base's stay in memory from the first proof of theirs to the last answer.
    """
    every: Sequence[Checkpoint] = run_plan.checkpoints
    home = weights_of(
        run_plan.base if isinstance(run_plan.base, Checkpoint) else next((c for c in every if c.adapter), every[0])
    )
    at_home = [checkpoint for checkpoint in every if weights_of(checkpoint) == home]
    others = [checkpoint for checkpoint in every if weights_of(checkpoint) != home]
    return [*others, *at_home], [*at_home, *others]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every checkpoint's turn needs and none changes. `info` is the engine's, the same for all."""

    job: Job
    slot: EngineSlot
    info: EngineInfo
    store: Store
    listener: ProgressListener
    run_log: RunLog


class Session:
    """Its engine stays in the context's slot until another checkpoint's takes it."""

    def __init__(self, context: RunContext, checkpoint: Checkpoint) -> None:
        self.context, self.checkpoint = context, checkpoint
        self.loading = 0.0  # seconds that opening took

    def open(self) -> Engine:
        """The engine, loaded at the first call. Raises ModelError."""
        begun, slot = time.perf_counter(), self.context.slot
        if slot.holds(self.checkpoint):
            return slot.give(self.checkpoint)
        self.context.listener.phase(f"loading {self.checkpoint.name}")
        engine = slot.give(self.checkpoint)
        self.loading += time.perf_counter() - begun
        return engine

    def prove(self, prepared: Sequence[PreparedTask]) -> None:
        """Prove, once for this model and engine, that the adapter answers. Raises ModelError."""
        model, engine, job = self.checkpoint.fingerprint, self.context.info.fingerprint, self.context.job
        stored, prompts = self.context.store.proof(model, engine), _prompts(prepared)
        if stored is None and not prompts:
            return  # no example could be asked: each is a example_error of this run
        proof = Proof(**stored) if stored else prove(self.open(), self.checkpoint, prompts, job.allow_noop)
        if stored is None and not job.allow_noop:
            self.context.store.add_proof(model, engine, asdict(proof))
        if said := remark(proof, self.checkpoint.precision or str(self.context.info.details.get("dtype"))):
            tell([f"{self.checkpoint.name}: {said}"], self.context.listener, self.context.run_log)

    def measure(self, prepared: Sequence[PreparedTask]) -> list[TaskOutcome]:
        """All tasks answered and measured; samples/ written."""
        name, context = self.checkpoint.name, self.context
        begun = time.perf_counter()
        found = []
        for task in prepared:
            context.listener.phase(f"{name}: {task.task.name}")
            found.append(self.score(task, self.answers(task)))
        context.run_log.count(name, seconds=time.perf_counter() - begun)
        context.run_log.left(name)
        return found

    def score(self, task: PreparedTask, answers: Mapping[str, Response | Failure]) -> TaskOutcome:
        """One task measured; its samples written."""
        measured = measure(task, answers, self.checkpoint.name)
        results.write_samples(self.context.job.out, task.task.name, self.checkpoint.name, measured.samples)
        return measured

    def answers(self, task: PreparedTask) -> dict[str, Response | Failure]:
        """One task's answers; what they took, without loading the model, is written down where that is asked for."""
        begun, counts, context = time.perf_counter() - self.loading, {"computed": 0, "stored": 0}, self.context

        def advance(stored: int, computed: int) -> None:
            counts["stored"], counts["computed"] = counts["stored"] + stored, counts["computed"] + computed
            context.run_log.count(self.checkpoint.name, stored=stored, computed=computed)
            context.listener.advance(stored, computed)

        answers = collect(
            task.requests,
            Lane(self.checkpoint.fingerprint, context.info.fingerprint, context.store, self.open, advance),
        )
        if EFFICIENCY in context.job.describe:
            seconds = time.perf_counter() - self.loading - begun
            tokens = _tokens(task.requests, answers, context.slot.factory.token_counter(self.checkpoint))
            context.run_log.spend(task.task.name, self.checkpoint.name, seconds=seconds, **counts, **tokens)
        return answers


def part_of(task: PreparedTask, places: Sequence[int], failures: Sequence[tuple[str, str]] = ()) -> PreparedTask:
    """The examples at these places alone. The prompts are those of the whole task, of which this is a part: the digest
    stays.
    """
    examples, requests = (tuple(of[i] for i in places) for of in (task.examples, task.requests))
    return replace(task, examples=examples, requests=requests, failures=tuple(failures))


def _prompts(prepared: Sequence[PreparedTask]) -> list[str]:
    """What a model is asked for its proof: the first example of every task, then the second …"""
    taken = [task.examples[i] for i in range(PROOF_PROMPTS) for task in prepared if i < len(task.examples)][
        :PROOF_PROMPTS
    ]
    return [example.prompt or " ".join(example.references)[:MOST_OF_A_TEXT] for example in taken]


def _tokens(
    requests: Sequence[Request], answers: Mapping[str, Response | Failure], count: TokenCounter
) -> dict[str, int]:
    """Tokens of the distinct prompts and of what was answered to them (written, or of the choices that were scored),
    computed now or stored.
    """
    distinct = {request.id: request for request in requests}
    prompts = answered = 0
    for request in distinct.values():
        if not isinstance(request, Score):
            prompts += sum(
                map(count, {context for context, _ in request.pairs} if isinstance(request, Rank) else {request.prompt})
            )
    for answer in (answers.get(key) for key in distinct):
        if not isinstance(answer, Failure | None):
            answered += sum(answer.tokens) if isinstance(answer, Ranking) else answer.tokens
    return {"prompt_tokens": prompts, "answer_tokens": answered}
