"""One checkpoint's turn: prepared tasks in, measurements out. The engine takes its seat when the first answer is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from evalharness import results
from evalharness.collect import Lane, collect
from evalharness.engines.base import Engine, TokenCounter
from evalharness.measure import Measured, measure
from evalharness.pipeline.seat import Seat
from evalharness.pipeline.watch import Ledger, Watcher, tell
from evalharness.prove import Proof, prove, remark
from evalharness.records.asking import Failure, Prepared, Rank, Ranking, Request, Response, Score
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.store import Store

PROOF_PROMPTS = 16
MOST_OF_A_TEXT = 100  # characters, where a text is scored whole and there is no prompt
EFFICIENCY = "efficiency"  # of --describe


@dataclass(frozen=True, slots=True)
class Desk:
    """What every checkpoint's turn needs and none changes. `info` is the engine's, the same for all."""

    job: Job
    seat: Seat
    info: EngineInfo
    store: Store
    watcher: Watcher
    ledger: Ledger


class Session:
    """Its engine stays in the desk's seat until another checkpoint's takes it."""

    def __init__(self, desk: Desk, checkpoint: Checkpoint) -> None:
        self.desk, self.checkpoint = desk, checkpoint
        self.loading = 0.0  # seconds that opening took

    def open(self) -> Engine:
        """The engine, loaded at the first call. Raises ModelError."""
        begun, seat = time.perf_counter(), self.desk.seat
        if seat.holds(self.checkpoint):
            return seat.give(self.checkpoint)
        self.desk.watcher.phase(f"loading {self.checkpoint.name}")
        engine = seat.give(self.checkpoint)
        self.loading += time.perf_counter() - begun
        return engine

    def prove(self, prepared: Sequence[Prepared]) -> None:
        """Prove, once for this model and engine, that the adapter answers. Raises ModelError."""
        model, engine, job = self.checkpoint.fingerprint, self.desk.info.fingerprint, self.desk.job
        stored, prompts = self.desk.store.proof(model, engine), _prompts(prepared)
        if stored is None and not prompts:
            return  # no example could be asked: each is a trouble of this run
        proof = Proof(**stored) if stored else prove(self.open(), self.checkpoint, prompts, job.allow_noop)
        if stored is None and not job.allow_noop:
            self.desk.store.add_proof(model, engine, asdict(proof))
        if said := remark(proof, self.checkpoint.precision or str(self.desk.info.details.get("dtype"))):
            tell([f"{self.checkpoint.name}: {said}"], self.desk.watcher, self.desk.ledger)

    def measure(self, prepared: Sequence[Prepared]) -> list[Measured]:
        """All tasks answered and measured; samples/ written."""
        name, desk = self.checkpoint.name, self.desk
        begun = time.perf_counter()
        found = []
        for task in prepared:
            desk.watcher.phase(f"{name}: {task.task.name}")
            found.append(self.score(task, self.answers(task)))
        desk.ledger.count(name, seconds=time.perf_counter() - begun)
        desk.ledger.left(name)
        return found

    def score(self, task: Prepared, answers: Mapping[str, Response | Failure]) -> Measured:
        """One task measured; its samples written."""
        measured = measure(task, answers, self.checkpoint.name)
        results.write_samples(self.desk.job.out, task.task.name, self.checkpoint.name, measured.samples)
        return measured

    def answers(self, task: Prepared) -> dict[str, Response | Failure]:
        """One task's answers; what they took, without loading the model, is written down where that is asked for."""
        begun, counts, desk = time.perf_counter() - self.loading, {"computed": 0, "stored": 0}, self.desk

        def advance(stored: int, computed: int) -> None:
            counts["stored"], counts["computed"] = counts["stored"] + stored, counts["computed"] + computed
            desk.ledger.count(self.checkpoint.name, stored=stored, computed=computed)
            desk.watcher.advance(stored, computed)

        answers = collect(task.requests, Lane(self.checkpoint.fingerprint, desk.info.fingerprint, desk.store, self.open, advance))
        if EFFICIENCY in desk.job.describe:
            seconds = time.perf_counter() - self.loading - begun
            tokens = _tokens(task.requests, answers, desk.seat.factory.token_counter(self.checkpoint))
            desk.ledger.spend(task.task.name, self.checkpoint.name, seconds=seconds, **counts, **tokens)
        return answers


def part_of(task: Prepared, places: Sequence[int], failures: Sequence[tuple[str, str]] = ()) -> Prepared:
    """The examples at these places alone. The prompts are those of the whole task, of which this is a part: the digest stays."""
    examples, requests = (tuple(of[i] for i in places) for of in (task.examples, task.requests))
    return replace(task, examples=examples, requests=requests, failures=tuple(failures))


def _prompts(prepared: Sequence[Prepared]) -> list[str]:
    """What a model is asked for its proof: the first example of every task, then the second …"""
    taken = [task.examples[i] for i in range(PROOF_PROMPTS) for task in prepared if i < len(task.examples)][:PROOF_PROMPTS]
    return [example.prompt or " ".join(example.references)[:MOST_OF_A_TEXT] for example in taken]


def _tokens(requests: Sequence[Request], answers: Mapping[str, Response | Failure], count: TokenCounter) -> dict[str, int]:
    """Tokens of the distinct prompts and of what was answered to them (written, or of the choices that were scored), computed now or stored."""
    distinct = {request.id: request for request in requests}
    prompts = answered = 0
    for request in distinct.values():
        if not isinstance(request, Score):
            prompts += sum(map(count, {context for context, _ in request.pairs} if isinstance(request, Rank) else {request.prompt}))
    for answer in (answers.get(key) for key in distinct):
        if not isinstance(answer, Failure | None):
            answered += sum(answer.tokens) if isinstance(answer, Ranking) else answer.tokens
    return {"prompt_tokens": prompts, "answer_tokens": answered}
