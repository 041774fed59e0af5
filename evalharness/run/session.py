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
from evalharness.engines.base import Engine, EngineFactory, ModelTokenizers, WeightReuse
from evalharness.records.job import Job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import (
    Failure,
    Generate,
    Generation,
    PreparedTask,
    Rank,
    Ranking,
    Request,
    Response,
    Scoring,
)
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
        """The engine of `checkpoint`, opened in the place of the one that is open. Raises ModelError; then none is."""
        if self._engine is not None and self.holds(checkpoint):
            return self._engine
        previous, last = self._engine, self._checkpoint
        if previous is not None and isinstance(self.factory, WeightReuse):
            self._engine = self._checkpoint = None
            try:
                engine = self.factory.open_after(previous, checkpoint, self._settings)
            finally:
                previous.close()
        else:
            self.clear()
            engine = self.factory.open(checkpoint, self._settings)
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

    def token_counter(self) -> TokenCounter | None:
        """Counts tokens as this model reads them; None where its engine's factory has no tokenizers."""
        factory = self.context.slot.factory
        return factory.token_counter(self.checkpoint) if isinstance(factory, ModelTokenizers) else None

    def prove(self, prepared: Sequence[PreparedTask]) -> bool:
        """Prove, once for this model and engine, that the adapter answers; False where the engine cannot show it.
        Raises ModelError.
        """
        prompts = _prompts(prepared)
        if not prompts:
            return True  # no example could be asked: each is an error of this run
        context, allow_noop = self.context, self.context.job.allow_noop
        key = self.checkpoint.fingerprint, context.info.fingerprint
        proof = Proof.from_stored(context.store.proof(*key) or {})
        if proof is None:
            proof = prove(self.open(), self.checkpoint, prompts, allow_noop)
            if not (allow_noop and proof.available):
                context.store.add_proof(*key, asdict(proof))
        dtype = self.checkpoint.precision or str(context.info.details.get("dtype"))
        if notice := remark(proof, self.checkpoint, dtype):
            tell([f"{self.checkpoint.name}: {notice}"], context.listener, context.run_log)
        return proof.available or not self.checkpoint.adapter

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
            tokens = _tokens(task.requests, answers, self.token_counter())
            context.run_log.spend(task.task.name, self.checkpoint.name, seconds=seconds, **counts, **tokens)
        return answers


def part_of(task: PreparedTask, places: Sequence[int], failures: Sequence[tuple[str, str]] = ()) -> PreparedTask:
    """The examples at these places alone. The prompts are those of the whole task, of which this is a part: the digest
    stays.
    """
    return replace(
        task,
        examples=tuple(task.examples[i] for i in places),
        requests=tuple(task.requests[i] for i in places),
        failures=tuple(failures),
    )


def _prompts(prepared: Sequence[PreparedTask]) -> list[str]:
    """What a model is asked for its proof: the first example of every task, then the second …"""
    taken = [task.examples[i] for i in range(PROOF_PROMPTS) for task in prepared if i < len(task.examples)][
        :PROOF_PROMPTS
    ]
    return [example.prompt or " ".join(example.references)[:MOST_OF_A_TEXT] for example in taken]


def _tokens(
    requests: Sequence[Request], answers: Mapping[str, Response | Failure], count: TokenCounter | None
) -> dict[str, int]:
    """Tokens of the distinct prompts (where they can be counted) and of what was answered to them (written, or of the
    choices that were scored), computed now or stored.
    """
    distinct = {request.id: request for request in requests}
    answered = 0
    for answer in (answers.get(key) for key in distinct):
        if isinstance(answer, Ranking):
            answered += sum(answer.tokens)
        elif isinstance(answer, Generation | Scoring):
            answered += answer.tokens
    if count is None:
        return {"answer_tokens": answered}
    contexts = [{text for text, _ in request.pairs} for request in distinct.values() if isinstance(request, Rank)]
    contexts += [{request.prompt} for request in distinct.values() if isinstance(request, Generate)]
    return {"prompt_tokens": sum(count(text) for texts in contexts for text in texts), "answer_tokens": answered}
