"""Prove and measure one checkpoint after another by an engine that is opened when its first answer is missing."""

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
from evalharness.engines.spreading import BlockCost, held, weights_of
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
MOST_OF_A_TEXT = 100  # characters, where a text is scored whole and there is no prompt
EFFICIENCY = "efficiency"  # of --describe
Turns = tuple[list[Checkpoint], list[Checkpoint]]


def turns(run_plan: RunPlan) -> Turns:
    """Order the checkpoints for proof, and for measurement: those on other full weights than the
    base's first and last, so that the base's weights stay in memory in between.
    """
    every: Sequence[Checkpoint] = run_plan.checkpoints
    adapter = next((checkpoint for checkpoint in every if checkpoint.adapter), every[0])
    shared = weights_of(run_plan.base if isinstance(run_plan.base, Checkpoint) else adapter)
    on_shared = [checkpoint for checkpoint in every if weights_of(checkpoint) == shared]
    on_others = [checkpoint for checkpoint in every if weights_of(checkpoint) != shared]
    return [*on_others, *on_shared], [*on_shared, *on_others]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What every checkpoint's turn needs and none changes. `info` is the engine's, the same for all; `base`: whose
    turn comes first, unless an earlier run answered for it; `ahead`: what was answered before its turn.
    `prompt_tokens`: of requests by id, as far as a counter has counted them: equal counters, which most models of a run
    have, count a prompt once.
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
    """One checkpoint's proof, answers and measurements. Its engine stays open until another checkpoint's is."""

    def __init__(self, context: RunContext, checkpoint: Checkpoint) -> None:
        self.context, self.checkpoint = context, checkpoint
        self.loading = 0.0  # seconds that opening took
        self.counter: TokenCounter | None = None

    def open(self) -> Engine:
        """The engine, loaded at the first call. Raises ModelError."""
        begun, slot = time.perf_counter(), self.context.slot
        if not slot.holds(self.checkpoint):
            self.context.listener.phase(f"loading {self.checkpoint.name}")
            slot.engine_of(self.checkpoint)
            self.loading += time.perf_counter() - begun
        return slot.engine_of(self.checkpoint)

    def token_counter(self) -> TokenCounter | None:
        """Counts tokens as this model reads them; None where its engine's factory has no tokenizers."""
        factory = self.context.slot.factory
        return factory.token_counter(self.checkpoint) if isinstance(factory, ModelTokenizers) else None

    def prove(self, prepared: Sequence[PreparedTask]) -> Proof | None:
        """Prove, once for this model and engine, that the adapter answers; None where no example could be asked: each
        is an error of this run. Raises ModelError.
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
        """Where the base's answers come from, outside its turn; None where the base of this run does not answer."""
        context = self.context
        if not isinstance(base := context.base, Checkpoint):
            return None
        slot, engine = context.slot, context.info.fingerprint
        return AnswerSource(
            model=base.fingerprint, engine=engine, store=context.store, open_engine=lambda: slot.engine_of(base)
        )

    def measure(self, prepared: Sequence[PreparedTask]) -> list[TaskOutcome]:
        """All tasks answered and measured; samples/ written. Raises NotComparableError where other weights answer."""
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
        """One task measured; its samples written."""
        outcome = measure(task, answers, self.checkpoint.name, self.context.info.near_tie)
        results.write_samples(self.context.job.output.folder, task.task.name, self.checkpoint.name, outcome.samples)
        return outcome

    def source(self, task: str) -> AnswerSource:
        """Where this model's answers to a task come from. What they take, without loading the model, is written down;
        by task where that is asked for.
        """
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
            failures=context.ahead.of(self.checkpoint.fingerprint),
            progress=advance,
        )

    def count(self, task: str, requests: Sequence[Request], answers: Answers, stored: int, seconds: float) -> None:
        """Write down a block of a task, and tell of it. `seconds`: that its answers took, without loading the model."""
        name, log = self.checkpoint.name, self.context.run_log
        described = EFFICIENCY in self.context.job.description.ways
        counts = {"stored": stored, "computed": len(requests) - stored}
        log.count(name, **counts)
        self.context.listener.advance(**counts)
        is_computed = stored < len(requests)  # then all of a block is
        if described or is_computed:
            self.counter = self.counter or self.token_counter()
            tokens = _tokens(answers)
            if self.counter is not None:
                known = self.context.prompt_tokens.setdefault(self.counter, {})
                tokens["prompt_tokens"] = _prompt_tokens(requests, self.counter, known)
        if is_computed:
            log.answered(name, seconds, tokens)
        if described:
            log.spend(task, name, seconds=seconds, **counts, **tokens)

    def spend(self, cost: BlockCost) -> None:
        """Write down a block that another process answered."""
        log = self.context.run_log
        for weights in cost.loads:
            log.loaded(weights)
        log.count(self.checkpoint.name, seconds=cost.seconds)
        log.models[self.checkpoint.name].peaked(cost.process, cost.device)


@contextmanager
def answer_source(checkpoint: Checkpoint, factory: EngineFactory, job: Job) -> Iterator[AnswerSource]:
    """Open one model's answers outside a run: the job's store, and an engine once an answer is missing."""
    with held(factory), Store(job.output.store) as store:
        info = factory.describe(checkpoint, job.engine)
        with EngineSlot(factory, job.engine, info, RunLog()) as slot:
            yield AnswerSource(
                model=checkpoint.fingerprint,
                engine=info.fingerprint,
                store=store,
                open_engine=lambda: slot.engine_of(checkpoint),
            )


def part_of(task: PreparedTask, places: Sequence[int], failures: Sequence[tuple[str, str]] = ()) -> PreparedTask:
    """Keep only the examples at these places. The prompts are those of the whole task, of which this is a part: the
    digest stays.
    """
    return replace(
        task,
        examples=tuple(task.examples[i] for i in places),
        requests=tuple(task.requests[i] for i in places),
        failures=tuple(failures),
    )


def _prompts(prepared: Sequence[PreparedTask]) -> list[str]:
    """Choose what a model is asked for its proof: the first example of every task, then the second …"""
    examples = [task.examples[i] for i in range(PROOF_PROMPTS) for task in prepared if i < len(task.examples)]
    texts = (example.prompt or " ".join(example.references)[:MOST_OF_A_TEXT] for example in examples)
    return list(itertools.islice(texts, PROOF_PROMPTS))


def _tokens(answers: Answers) -> dict[str, int]:
    """Count the tokens of what was answered (written, or of the choices that were scored), computed now or stored."""
    tokens = 0
    for answer in answers.values():
        if isinstance(answer, Ranking):
            tokens += sum(answer.tokens)
        elif isinstance(answer, Generation | Scoring):
            tokens += answer.tokens
    return {"answer_tokens": tokens}


def _prompt_tokens(requests: Sequence[Request], count: TokenCounter, known: dict[str, int]) -> int:
    """Count the tokens of the requests' prompts, each distinct one of a request once; what was counted becomes
    `known`.
    """
    for request in requests:
        if request.id not in known:
            texts = {text for text, _ in request.pairs} if isinstance(request, Rank) else set[str]()
            texts |= {request.prompt} if isinstance(request, Generate) else set()
            known[request.id] = sum(map(count, texts))
    return sum(known[request.id] for request in requests)
