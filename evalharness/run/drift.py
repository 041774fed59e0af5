"""Record how far the candidates' predictions have moved from the base's (their drift), one model after another
(--drift).
"""

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
from evalharness.run.drift_sources import DriftSources, departures_from_suite
from evalharness.run.plan import RunPlan
from evalharness.run.session import Session

Ask = Callable[[Sequence[Request]], Answers]
MOST_OUTPUTS = 128  # texts that the base wrote itself, from the tasks in turn
ANSWER_TOKENS = 16  # of the base's answer to an input of a target


class DriftRecorder:
    """Records every model's predictions on the same texts, and how far they are from the base's. The base must come
    first.
    """

    def __init__(self, job: Job, run_plan: RunPlan, sources: DriftSources) -> None:
        self.job, self.run_plan, self.sources = job, run_plan, sources
        self.texts: list[DriftTexts] = []
        self.base: Answers = {}
        self.count: TokenCounter | None = None
        self.drifts: list[Drift] = []

    def follow(self, session: Session) -> None:
        """Measure a model's drift after its tasks are answered, while its engine may still be open."""
        if not self.sources.neutral:
            return
        session.context.listener.phase(f"{session.checkpoint.name}: drift")
        if session.checkpoint.name == self.run_plan.base.name:
            self.follow_base(partial(_answers, session), self._generations(session))
            self.count = session.token_counter()
        else:
            self.follow_model(session.checkpoint, partial(_answers, session), session.token_counter())

    def follow_base(self, ask: Ask, generations: Answers) -> None:
        """Have the base predict all texts. `generations`: its answers to the generative tasks, which are among the
        texts.
        """
        windows = [each.window - each.virtual_tokens for each in self.run_plan.checkpoints if each.window is not None]
        own = [own_outputs(self._outputs(generations))]
        own += [target_inputs(name, _continued(prompts, ask)) for name, prompts in self.sources.inputs.items()]
        self.texts = [neutral_texts(self.sources.neutral, min(windows, default=None)), *own]
        self.texts = [texts for texts in self.texts if texts.requests]
        self.base = ask([request for texts in self.texts for request in texts.requests])

    def follow_model(self, checkpoint: Checkpoint, ask: Ask, count: TokenCounter | None) -> None:
        """Measure how far a model's predictions are from the base's. `count` counts the model's tokens, None if nothing
        can.
        """
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

    def with_drift(self, run: MeasuredRun) -> MeasuredRun:
        """Add the ranked drifts of every model but the base, and the forecasts from them, to a measured run."""
        if not self.drifts:
            return run
        drifts = rank_drifts(self.drifts, [candidate.name for candidate in self.run_plan.candidates])
        suite, remarks = self.run_plan.suite, departures_from_suite(self.job, self.run_plan)
        foreseen = forecasts(drifts, run.models, suite.name if suite else "", self.sources.table, remarks)
        return replace(run, drift=drifts, drift_forecasts=foreseen)

    @property
    def _level(self) -> float:
        return 1 - 2 * self.job.statistics.alpha

    def _texts_of(self, checkpoint: Checkpoint) -> list[DriftTexts]:
        """List the texts on which a model is measured: of target inputs only those of the task that it learned; for a
        reference all texts.
        """
        if checkpoint in self.run_plan.references:
            return self.texts
        return [texts for texts in self.texts if texts.target in ("", checkpoint.target_task)]

    def _shares_tokens(self, own: TokenCounter | None, of_model: Sequence[DriftTexts]) -> bool:
        """Return whether the model splits these texts into as many tokens as the base; True if tokens cannot be
        counted.
        """
        count = self.count
        if count is None or own is None or count == own:
            return True
        return all(count(request.text) == own(request.text) for texts in of_model for request in texts.requests)

    def _generations(self, session: Session) -> Answers:
        """Return the base's answers to the run's generative tasks; if only drift is measured, the base answers them
        now.
        """
        requests = self.sources.generative
        if self.job.description.drift_only:
            return _answers(session, requests)
        context = session.context
        model, engine = session.checkpoint.fingerprint, context.info.fingerprint
        return context.store.read(model, engine, [request.id for request in requests])

    def _outputs(self, generations: Answers) -> list[tuple[str, str]]:
        """List (prompt, output) of the base on generative tasks, without empty outputs."""
        outputs = [
            (request.prompt, answer.text)
            for request in self.sources.generative
            if isinstance(answer := generations.get(request.id), Generation)
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
