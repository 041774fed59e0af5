"""Record how far the candidates' predictions have moved from the base's, one model after another (--drift)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from evalharness.analysis.drift import (
    OTHER_TOKENS,
    DriftTexts,
    drift_of,
    follow_ups,
    neutral_texts,
    own_outputs,
    rank_drifts,
    target_inputs,
    unavailable,
)
from evalharness.analysis.drift_forecast import forecasts
from evalharness.records.job import Job
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Generate, Generation, Request
from evalharness.records.results import Drift
from evalharness.records.tokenizers import TokenCounter
from evalharness.run.collect import Answers, AnswerSource, collect
from evalharness.run.drift_sources import DriftSources, own_ways
from evalharness.run.plan import RunPlan
from evalharness.run.session import Session

Ask = Callable[[Sequence[Request]], Answers]
MOST_OUTPUTS = 128  # of the base's own, the tasks in turn
ANSWER_TOKENS = 16  # of the base's answer to an input of a target


class DriftRecorder:
    """Records what every model of a run predicts in the same texts. The base must be followed first."""

    def __init__(self, job: Job, run_plan: RunPlan, sources: DriftSources) -> None:
        self.job, self.run_plan, self.sources = job, run_plan, sources
        self.texts: list[DriftTexts] = []
        self.base: Answers = {}
        self.count: TokenCounter | None = None
        self.drifts: list[Drift] = []

    def follow(self, session: Session) -> None:
        """Measure a model whose tasks are answered, while its engine may still be open."""
        if not self.sources.neutral:
            return
        session.context.listener.phase(f"{session.checkpoint.name}: drift")
        if session.checkpoint.name == self.run_plan.base.name:
            self.follow_base(partial(_answers, session), self._written(session))
            self.count = session.token_counter()
        else:
            self.follow_model(session.checkpoint, partial(_answers, session), session.token_counter())

    def follow_base(self, ask: Ask, written: Answers) -> None:
        """Have the base answer, of which the generative tasks' answers are there."""
        windows = [each.window - each.virtual_tokens for each in self.run_plan.checkpoints if each.window is not None]
        own = [own_outputs(self._outputs(written))]
        own += [target_inputs(name, _continued(prompts, ask)) for name, prompts in self.sources.inputs.items()]
        self.texts = [neutral_texts(self.sources.neutral, min(windows, default=None)), *own]
        self.texts = [texts for texts in self.texts if texts.requests]
        self.base = ask([request for texts in self.texts for request in texts.requests])

    def follow_model(self, checkpoint: Checkpoint, ask: Ask, count: TokenCounter | None) -> None:
        """Measure a model beside the base, which counts tokens by `count`."""
        of_model = self._texts_of(checkpoint)
        if not self._shares_tokens(count, of_model):
            self.drifts += [unavailable(texts, checkpoint.name, self._level, OTHER_TOKENS) for texts in of_model]
            return
        requests = [follow_ups(texts, self.base) for texts in of_model]
        answers = ask([request for of_kind in requests for request in of_kind if request is not None])  # as of the base
        for texts, of_kind in zip(of_model, requests, strict=True):
            base = [self.base[request.id] for request in texts.requests]
            other = [None if request is None else answers[request.id] for request in of_kind]
            self.drifts.append(drift_of(texts, checkpoint.name, base, other, self._level))

    def drifted(self, run: MeasuredRun) -> MeasuredRun:
        """Add the drifts, ranked, of every model but the base, and the forecasts that follow from them, to what was
        measured.
        """
        if not self.drifts:
            return run
        drifts = rank_drifts(self.drifts, [candidate.name for candidate in self.run_plan.candidates])
        suite, remarks = self.run_plan.suite, own_ways(self.job, self.run_plan)
        foreseen = forecasts(drifts, run.models, suite.name if suite else "", self.sources.table, remarks)
        return replace(run, drift=drifts, drift_forecasts=foreseen)

    @property
    def _level(self) -> float:
        return 1 - 2 * self.job.statistics.alpha

    def _texts_of(self, checkpoint: Checkpoint) -> list[DriftTexts]:
        """List the texts for a model: of the targets' inputs those of its own target, of a reference all."""
        if checkpoint in self.run_plan.references:
            return self.texts
        return [texts for texts in self.texts if texts.target in ("", checkpoint.target_task)]

    def _shares_tokens(self, own: TokenCounter | None, of_model: Sequence[DriftTexts]) -> bool:
        """Does the model cut these texts into as many tokens as the base? It counts as doing so where tokens cannot be
        counted.
        """
        count = self.count
        if count is None or own is None or count == own:
            return True
        return all(count(request.text) == own(request.text) for texts in of_model for request in texts.requests)

    def _written(self, session: Session) -> Answers:
        """Return what the base wrote to the run's generative tasks; it is asked where drift is all that is measured."""
        requests = self.sources.written
        if self.job.description.drift_only:
            return _answers(session, requests)
        context = session.context
        model, engine = session.checkpoint.fingerprint, context.info.fingerprint
        return context.store.read(model, engine, [request.id for request in requests])

    def _outputs(self, written: Answers) -> list[tuple[str, str]]:
        """List (prompt, output) of the base on generative tasks, without empty outputs."""
        outputs = [
            (request.prompt, answer.text)
            for request in self.sources.written
            if isinstance(answer := written.get(request.id), Generation)
        ]
        return [pair for pair in dict.fromkeys(outputs) if pair[1].strip()][:MOST_OUTPUTS]


def _continued(prompts: Sequence[str], ask: Ask) -> list[tuple[str, str]]:
    """List (prompt, answer) of the base on a target's inputs, without empty answers."""
    requests = [Generate(prompt=prompt, stop=(), max_tokens=ANSWER_TOKENS) for prompt in prompts]
    answers = ask(requests)
    pairs = [(request.prompt, answers[request.id]) for request in requests]
    return [(prompt, a.text) for prompt, a in pairs if isinstance(a, Generation) and a.text.strip()]


def _answers(session: Session, requests: Sequence[Request]) -> Answers:
    context, checkpoint = session.context, session.checkpoint

    def count(of_block: Sequence[Request], answers: Answers, stored: int) -> None:
        context.run_log.count(checkpoint.name, stored=stored, computed=len(of_block) - stored)

    source = AnswerSource(
        model=checkpoint.fingerprint,
        engine=context.info.fingerprint,
        store=context.store,
        open_engine=session.open,
        progress=count,
    )
    return collect(requests, source)
