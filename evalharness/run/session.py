"""Prove and measure one checkpoint; its engine is opened when the first answer is missing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from evalharness import results
from evalharness.analysis.baseline import Baseline
from evalharness.engines.adapter_check import Proof, prove, remark
from evalharness.engines.base import Engine, EngineFactory, ModelTokenizers
from evalharness.engines.spreading import BlockCost, keep_engines, weights_of
from evalharness.records.job import Job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.records.requests import Generate, Generation, PreparedTask, Rank, Ranking, Request, Scoring
from evalharness.records.tokenizers import TokenCounter
from evalharness.run.ahead import AnsweredAhead
from evalharness.run.answer_proof import proven_by_answers
from evalharness.run.collect import AnswerKeeper, Answers, AnswerSource, collect
from evalharness.run.engine_slot import EngineSlot
from evalharness.run.measure import measure
from evalharness.run.plan import RunPlan
from evalharness.run.progress import ProgressListener
from evalharness.run.run_log import RunLog, tell
from evalharness.store import Store

PROOF_PROMPTS = 16
MOST_OF_A_TEXT = 100  # characters of a text that is scored whole and has no prompt
EFFICIENCY = "efficiency"  # of --describe
Turns = tuple[list[Checkpoint], list[Checkpoint]]


def turns(run_plan: RunPlan) -> Turns:
    """Order the checkpoints for proof, and for measurement. Those on other full weights than the base's come first in
    the proof and last in the measurement, so that the base's weights stay in memory in between.
    """
    every: Sequence[Checkpoint] = run_plan.checkpoints
    adapter = next((checkpoint for checkpoint in every if checkpoint.adapter), every[0])
    shared = weights_of(run_plan.base if isinstance(run_plan.base, Checkpoint) else adapter)
    on_shared = [checkpoint for checkpoint in every if weights_of(checkpoint) == shared]
    on_others = [checkpoint for checkpoint in every if weights_of(checkpoint) != shared]
    return [*on_others, *on_shared], [*on_shared, *on_others]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The parts of a run that the turns of all checkpoints share.

    `slot`: holds the open engine. `info`: the engine's description, the same for all models. `base`: its turn comes
    first, unless an earlier run answered for it. `ahead`: the record of answers that several engines gave before the
    turns. `prompt_tokens`: counter -> request id -> count, so that models with equal counters count a prompt once.
    """

    job: Job
    slot: EngineSlot
    info: EngineInfo
    store: Store
    listener: ProgressListener
    run_log: RunLog
    base: Checkpoint | Baseline
    ahead: AnsweredAhead = field(default_factory=AnsweredAhead)
    prompt_tokens: dict[TokenCounter, dict[str, int]] = field(default_factory=dict)


class Session:
    """One checkpoint's turn in a run: it proves the adapter, collects answers and measures them. Its engine stays open
    until another checkpoint's opens.
    """

    def __init__(self, context: RunContext, checkpoint: Checkpoint) -> None:
        self.context, self.checkpoint = context, checkpoint
        self.loading = 0.0  # seconds that opening took
        self.counter: TokenCounter | None = None

    def open(self) -> Engine:
        """Return the engine, loaded at the first call. Raises ModelError."""
        begun, slot = time.perf_counter(), self.context.slot
        if not slot.holds(self.checkpoint):
            self.context.listener.phase(f"loading {self.checkpoint.name}")
            slot.engine_of(self.checkpoint)
            self.loading += time.perf_counter() - begun
        return slot.engine_of(self.checkpoint)

    def token_counter(self) -> TokenCounter | None:
        """Return the counter of this model's tokens; None if the engine's factory has no tokenizers."""
        factory = self.context.slot.factory
        return factory.token_counter(self.checkpoint) if isinstance(factory, ModelTokenizers) else None

    def prove(self, prepared: Sequence[PreparedTask]) -> Proof | None:
        """Prove, once for this model and engine, that the adapter is applied. Return None if no example makes a prompt;
        each of them is an error of this run. Raises ModelError.
        """
        prompts = _prompts(prepared)
        if not prompts:
            return None
        context, allow_noop = self.context, self.context.job.models.allow_noop
        key = self.checkpoint.fingerprint, context.info.fingerprint
        proof = Proof.from_stored(context.store.proof(*key) or {})
        if proof is None:
            engine = self.open()
            context.listener.phase(f"proving that {self.checkpoint.name} answers as itself")
            proof = prove(engine, self.checkpoint, prompts, allow_noop)
            proof = proven_by_answers(proof, self.checkpoint, self.open, self._base_answers(), allow_noop)
            if not (allow_noop and proof.available):
                context.store.add_proof(*key, asdict(proof))
        dtype = self.checkpoint.precision or str(context.info.details.get("dtype"))
        if notice := remark(proof, self.checkpoint, dtype):
            tell([f"{self.checkpoint.name}: {notice}"], context.listener, context.run_log)
        return proof

    def _drafted_by(self) -> str:
        base = self.context.base.fingerprint if isinstance(self.context.base, Checkpoint) else ""
        return "" if base == self.checkpoint.fingerprint else base

    def _base_answers(self) -> AnswerSource | None:
        """Return the source of the base's answers outside its turn; None if the base does not answer in this run."""
        context = self.context
        if not isinstance(base := context.base, Checkpoint):
            return None
        slot, engine = context.slot, context.info.fingerprint
        return AnswerSource(
            model=base.fingerprint, engine=engine, store=context.store, open_engine=lambda: slot.engine_of(base)
        )

    def measure(self, prepared: Sequence[PreparedTask]) -> list[TaskOutcome]:
        """Answer and measure all tasks, and write samples/. Raises NotComparableError if the weights changed."""
        name, context = self.checkpoint.name, self.context
        keeper, outcomes = AnswerKeeper(context.store, self.checkpoint.fingerprint, context.info.fingerprint), []
        with context.run_log.turn(self.checkpoint):
            for task in prepared:
                context.listener.phase(f"{name}: {task.task.name}")
                answers = collect(task.requests, replace(self.source(task.task.name), keeper=keeper))
                outcomes.append(self.score(task, answers))
            keeper.flush()
        return outcomes

    def score(self, task: PreparedTask, answers: Answers) -> TaskOutcome:
        """Measure one task and write its samples."""
        outcome = measure(task, answers, self.checkpoint.name, self.context.info.near_tie)
        results.write_samples(self.context.job.output.folder, task.task.name, self.checkpoint.name, outcome.samples)
        return outcome

    def source(self, task: str) -> AnswerSource:
        """Return the source of this model's answers to a task; it records their costs, without loading the model."""
        name, context = self.checkpoint.name, self.context
        begun = time.perf_counter() - self.loading
        context.store.note_use(self.checkpoint.fingerprint, context.info.fingerprint, name, task)

        def advance(requests: Sequence[Request], answers: Answers, stored: int) -> None:
            nonlocal begun
            if (name, task, requests[0].id) not in context.ahead.counted:
                self.count(task, requests, answers, stored, time.perf_counter() - self.loading - begun)
            begun = time.perf_counter() - self.loading

        return AnswerSource(
            model=self.checkpoint.fingerprint,
            engine=context.info.fingerprint,
            store=context.store,
            open_engine=self.open,
            drafted_by=self._drafted_by(),
            failures=context.ahead.failures_of(self.checkpoint.fingerprint),
            progress=advance,
        )

    def count(self, task: str, requests: Sequence[Request], answers: Answers, stored: int, seconds: float) -> None:
        """Record a block of a task, and report it. `seconds`: of its answers, without loading the model."""
        name, log = self.checkpoint.name, self.context.run_log
        described = EFFICIENCY in self.context.job.description.ways
        counts = {"stored": stored, "computed": len(requests) - stored}
        log.count(name, **counts)
        self.context.listener.advance(**counts)
        is_computed = stored < len(requests)  # a block is computed whole
        if described or is_computed:
            self.counter = self.counter or self.token_counter()
            tokens = _tokens(answers)
            if self.counter is not None:
                counts_by_id = self.context.prompt_tokens.setdefault(self.counter, {})
                tokens["prompt_tokens"] = _prompt_tokens(requests, self.counter, counts_by_id)
        if is_computed:
            log.add_answers(name, seconds, tokens)
        if described:
            log.spend(task, name, seconds=seconds, **counts, **tokens)

    def spend(self, cost: BlockCost) -> None:
        """Record the costs of a block that another process answered."""
        log = self.context.run_log
        for weights in cost.loads:
            log.add_load(weights)
        log.count(self.checkpoint.name, seconds=cost.seconds)
        log.models[self.checkpoint.name].add_peaks(cost.process, cost.device)


@contextmanager
def answer_source(checkpoint: Checkpoint, factory: EngineFactory, job: Job) -> Iterator[AnswerSource]:
    """Open a source of one model's answers outside a run: the job's store, and an engine once an answer is missing."""
    with keep_engines(factory), Store(job.output.store) as store:
        info = factory.describe(checkpoint, job.engine)
        with EngineSlot(factory, job.engine, info, RunLog()) as slot:
            yield AnswerSource(
                model=checkpoint.fingerprint,
                engine=info.fingerprint,
                store=store,
                open_engine=lambda: slot.engine_of(checkpoint),
            )


def part_of(task: PreparedTask, places: Sequence[int], failures: Sequence[tuple[str, str]] = ()) -> PreparedTask:
    """Return a task with only the examples at these places. The digest of the prompts stays that of the whole task."""
    return replace(
        task,
        examples=tuple(task.examples[i] for i in places),
        requests=tuple(task.requests[i] for i in places),
        failures=tuple(failures),
    )


def _prompts(prepared: Sequence[PreparedTask]) -> list[str]:
    """Choose the prompts with which a model's adapter is proved: the first example of every task, then the second …"""
    examples = [task.examples[i] for i in range(PROOF_PROMPTS) for task in prepared if i < len(task.examples)]
    texts = (example.prompt or " ".join(example.references)[:MOST_OF_A_TEXT] for example in examples)
    return list(itertools.islice(texts, PROOF_PROMPTS))


def _tokens(answers: Answers) -> dict[str, int]:
    """Count the tokens of the answers (written, or of the scored choices), computed now or stored."""
    tokens = 0
    for answer in answers.values():
        if isinstance(answer, Ranking):
            tokens += sum(answer.tokens)
        elif isinstance(answer, Generation | Scoring):
            tokens += answer.tokens
    return {"answer_tokens": tokens}


def _prompt_tokens(requests: Sequence[Request], count: TokenCounter, counts: dict[str, int]) -> int:
    """Count the tokens of the requests' prompts, each distinct prompt of a request once. `counts`, by request id, are
    reused and extended.
    """
    for request in requests:
        if request.id not in counts:
            texts = {text for text, _ in request.pairs} if isinstance(request, Rank) else set[str]()
            texts |= {request.prompt} if isinstance(request, Generate) else set()
            counts[request.id] = sum(map(count, texts))
    return sum(counts[request.id] for request in requests)
