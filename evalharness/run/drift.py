"""Record how far the candidates' predictions have moved from the base's, one model after another (--drift)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from evalharness.analysis.drift import OTHER_TOKENS, drift_of, follow_ups, neutral, own_outputs, ranked, unavailable
from evalharness.data.paragraphs import paragraphs
from evalharness.errors import UsageError
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Generate, Generation, Profile, Request
from evalharness.records.results import Drift
from evalharness.records.tokenizers import TokenCounter
from evalharness.run.collect import Answers, AnswerSource, collect
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts
from evalharness.run.session import Session

CORPUS = "neutral.txt"
MOST_TEXTS = 256  # paragraphs of a longer file are taken evenly from all of it
MOST_CHARACTERS = 2_000  # of a paragraph; more are cut off at a space
MOST_OUTPUTS = 128  # of the base's own, the tasks in turn


def neutral_texts(job: Job, run_plan: RunPlan) -> tuple[str, ...]:
    """Read the paragraphs on which drift is measured; () where the job does not ask for it. Raises UsageError,
    DataError.
    """
    if not (job.description.drift or job.description.drift_text):
        return ()
    if not isinstance(run_plan.base, Checkpoint):
        raise UsageError(
            "--drift",
            "the base does not answer in this run: its scores are an earlier run's",
            "give --base instead of --baseline",
        )
    texts = paragraphs(job.description.drift_text or shipped("fixtures/drift") / CORPUS)
    if len(texts) > MOST_TEXTS:
        texts = [texts[i * len(texts) // MOST_TEXTS] for i in range(MOST_TEXTS)]
    return tuple(map(_shortened, texts))


def _shortened(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[:MOST_CHARACTERS].rpartition(" ")[0] or text[:MOST_CHARACTERS]


class DriftRecorder:
    """Records what every model of a run predicts in the same texts. The base must be followed first."""

    def __init__(self, job: Job, run_plan: RunPlan, prompts: Prompts, texts: Sequence[str]) -> None:
        self.job, self.run_plan, self.prompts = job, run_plan, prompts
        windows = [
            checkpoint.window - checkpoint.virtual_tokens
            for checkpoint in run_plan.checkpoints
            if checkpoint.window is not None
        ]
        self.texts = [neutral(texts, min(windows, default=None))] if texts else []
        self.base: Answers = {}
        self.count: TokenCounter | None = None
        self.drifts: list[Drift] = []

    def follow(self, session: Session) -> None:
        """Measure a model whose tasks are answered, while its engine may still be open."""
        if not self.texts:
            return
        checkpoint = session.checkpoint
        session.context.listener.phase(f"{checkpoint.name}: drift")
        if checkpoint.name == self.run_plan.base.name:
            self.texts += [own] if (own := own_outputs(self._outputs(session))).requests else []
            self.base = _answers(session, [request for texts in self.texts for request in texts.requests])
            self.count = session.token_counter()
            return
        if not self._shares_tokens(session):
            self.drifts += [unavailable(texts, checkpoint.name, self._level, OTHER_TOKENS) for texts in self.texts]
            return
        follow_up_requests = [follow_ups(texts, self.base) for texts in self.texts]
        answers = _answers(
            session, [request for of_kind in follow_up_requests for request in of_kind if request is not None]
        )  # together, as of the base
        for texts, of_kind in zip(self.texts, follow_up_requests, strict=True):
            base = [self.base[request.id] for request in texts.requests]
            other = [None if request is None else answers[request.id] for request in of_kind]
            self.drifts.append(drift_of(texts, checkpoint.name, base, other, self._level))

    def ranked_drifts(self) -> tuple[Drift, ...]:
        """Rank the drifts of every model but the base; () where the job did not ask for them."""
        return ranked(self.drifts, [candidate.name for candidate in self.run_plan.candidates])

    @property
    def _level(self) -> float:
        return 1 - 2 * self.job.statistics.alpha

    def _shares_tokens(self, session: Session) -> bool:
        """Does the model cut these texts into as many tokens as the base? It counts as doing so where tokens cannot be
        counted.
        """
        count, own = self.count, session.token_counter()
        if count is None or own is None or count == own:
            return True
        return all(count(request.text) == own(request.text) for texts in self.texts for request in texts.requests)

    def _outputs(self, session: Session) -> list[tuple[str, str]]:
        """List (prompt, output) of the base on the run's generative tasks: the first of every task, then the second …,
        without empty outputs.
        """
        tasks = [task for task in self.prompts.by_model[session.checkpoint.name] if not task.task.beside]
        by_task = [[request for request in task.requests if isinstance(request, Generate)] for task in tasks]
        context, ids = session.context, [request.id for requests in by_task for request in requests]
        stored = context.store.read(session.checkpoint.fingerprint, context.info.fingerprint, ids)
        in_turn = [request for turn in zip_longest(*by_task) for request in turn if request is not None]
        outputs = [
            (request.prompt, answer.text)
            for request in in_turn
            if isinstance(answer := stored.get(request.id), Generation)
        ]
        return [pair for pair in dict.fromkeys(outputs) if pair[1].strip()][:MOST_OUTPUTS]


def _answers(session: Session, requests: Sequence[Profile]) -> Answers:
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
