"""Compare two engines on the same requests, and each with itself when it is asked again."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalharness.checkpoints.recognise import recognise_model
from evalharness.engines.agreement import logprobs_of, same_text, tokens_of
from evalharness.engines.base import Engine, EngineFactory, errors_of, factory_of
from evalharness.errors import UsageError
from evalharness.experiments.jobs import EngineCheckJob, EngineSide
from evalharness.metrics.build import build
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.records.requests import Failure, Generate, PreparedTask, Rank, Ranking, Request, Score
from evalharness.report.engine_check import AGAIN, TURNED, Agreement, CheckedEngine, EngineCheck, ScorePair
from evalharness.run.collect import Answers, ask, blocks
from evalharness.run.measure import measure
from evalharness.run.plan import plan_without_candidates
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.prompts import make_prompts
from evalharness.run.rows_check import check_present, check_rows
from evalharness.tasks.library import Library

KINDS: Mapping[str, type[Request]] = {"rank": Rank, "generate": Generate, "score": Score}


def check_engines(check_job: EngineCheckJob, listener: ProgressListener | None = None) -> EngineCheck:
    """Compare the job's two engines, one of which is open at a time; nothing is stored. Raises EvalHarnessError for
    wrong options, and for an engine that raises.
    """
    listener, job = listener or SilentListener(), check_job.job
    listener.phase("reading tasks and checkpoints")
    sides, library = check_job.sides, Library(job.tasks.include)
    check_rows(job, library)
    check_present(job, library)
    factories = [factory_of(side.settings) for side in sides]
    models = [recognise_model(side.model, by_chat=side.settings.by_chat) for side in sides]
    described = [_described(*each) for each in zip(factories, models, sides, strict=True)]
    prepared = _prepared(job, models, factories[0])
    requests = [request for task in prepared for request in task.requests]
    if not requests:
        raise UsageError("engine check", "no request can be asked", "name other tasks, or a model with a larger window")
    answers = []
    for side, factory, model in zip(sides, factories, models, strict=True):
        answers.append(_ask_side(side, factory, model, requests, listener))
    tolerance = max(info.near_tie for info in described) if check_job.tolerance is None else check_job.tolerance
    (first, second), firsts = answers, [of[0] for of in answers]
    between = tuple(_agreements(requests, *firsts))
    return EngineCheck(
        engines=(
            _engine(sides[0], described[0], models[0], requests, first),
            _engine(sides[1], described[1], models[1], requests, second),
        ),
        between=between,
        scores=tuple(_scores(task, firsts) for task in prepared),
        tolerance=tolerance,
        same_texts=check_job.same_texts,
        reasons=tuple(_reasons(between, tolerance, check_job.same_texts)),
    )


def _described(factory: EngineFactory, model: Checkpoint, side: EngineSide) -> EngineInfo:
    with errors_of(side.settings.name, "describe"):
        return factory.describe(model, side.settings)


def _prepared(job: Job, models: Sequence[Checkpoint], factory: EngineFactory) -> tuple[PreparedTask, ...]:
    """Prepare the tasks with the first engine's tokenizer, within the smaller of the two windows."""
    windows = [model.window for model in models if model.window is not None]
    virtual = max(model.virtual_tokens for model in models)
    base = replace(models[0], window=min(windows, default=None), virtual_tokens=virtual)
    run_plan = plan_without_candidates(job, base)
    return make_prompts(job, run_plan, factory).by_model[base.name]


def _ask_side(
    side: EngineSide, factory: EngineFactory, model: Checkpoint, requests: Sequence[Request], listener: ProgressListener
) -> tuple[Answers, Answers, Answers]:
    """Return the answers of one engine: the first, again, and with the requests in the reverse order."""
    listener.phase(f"loading {side.text}")
    with errors_of(side.settings.name, "open"):
        engine = factory.open(model, side.settings)
    try:
        listener.phase(f"asking {side.text}")
        first = _answers(engine, requests)
        listener.phase(f"asking {side.text} again")
        return first, _answers(engine, requests), _answers(engine, requests[::-1])
    finally:
        engine.close()


def _answers(engine: Engine, requests: Sequence[Request]) -> Answers:
    return {key: answer for block in blocks(requests) for key, answer in ask(engine, block).items()}


def _engine(
    side: EngineSide, info: EngineInfo, model: Checkpoint, requests: Sequence[Request], answers: Sequence[Answers]
) -> CheckedEngine:
    first, again, turned = answers
    ways = {AGAIN: again, TURNED: turned}
    noise = {how: tuple(_agreements(requests, first, other)) for how, other in ways.items()}
    return CheckedEngine(
        given=side.text, name=info.name, fingerprint=info.fingerprint, model=model.fingerprint, noise=noise
    )


def _agreements(requests: Sequence[Request], one: Answers, other: Answers) -> list[Agreement]:
    """Compare the answers for every kind of request."""
    by_kind = {
        name: list({request.id: request for request in requests if isinstance(request, kind)})
        for name, kind in KINDS.items()
    }
    return [_agreement(name, ids, one, other) for name, ids in by_kind.items() if ids]


def _agreement(kind: str, ids: Sequence[str], one: Answers, other: Answers) -> Agreement:
    answered = [(one[key], other[key]) for key in ids]
    pairs = [each for each in answered if not any(isinstance(answer, Failure) for answer in each)]
    alike = [(here, there) for here, there in pairs if tokens_of(here) == tokens_of(there)]
    apart = [abs(a - b) for here, there in alike for a, b in zip(logprobs_of(here), logprobs_of(there), strict=True)]
    choices = [
        (_best(here), _best(there))
        for here, there in pairs
        if isinstance(here, Ranking) and isinstance(there, Ranking) and len(here.logprobs) > 1
    ]
    texts = pairs if kind == "generate" else []
    return Agreement(
        kind=kind,
        requests=len(ids),
        failed=len(answered) - len(pairs),
        other_tokens=len(pairs) - len(alike),
        numbers=len(apart),
        largest=max(apart, default=None),
        median=statistics.median(apart) if apart else None,
        choices=len(choices),
        flips=sum(here != there for here, there in choices),
        texts=len(texts),
        same=sum(same_text(here, there) for here, there in texts),
    )


def _best(answer: Ranking) -> int:
    return max(range(len(answer.logprobs)), key=answer.logprobs.__getitem__)


def _scores(task: PreparedTask, answers: Sequence[Answers]) -> ScorePair:
    """Return a task's score by its deciding metric for the answers of each engine."""
    spec = next(spec for spec in task.task.metrics if spec.id == task.task.primary)
    values = [_score(task, of) for of in answers]
    first, second = values
    difference = None if first is None or second is None else second - first
    return ScorePair(
        task=task.task.name, metric=spec.id, n=len(task.examples), first=first, second=second, difference=difference
    )


def _score(task: PreparedTask, answers: Answers) -> float | None:
    specs = {spec.id: spec for spec in task.task.metrics}
    outcome = measure(task, answers, "")
    measured = next(each for each in outcome.measurements if each.metric == task.task.primary)
    if measured.point is not None or not len(measured.rows):
        return measured.point
    value = float(build(specs[task.task.primary]).score(measured.rows.sum(axis=0)))
    return value if math.isfinite(value) else None


def _reasons(between: Sequence[Agreement], tolerance: float, same_texts: float) -> list[str]:
    """List the reasons why two engines do not answer alike."""
    reasons = []
    for each in between:
        if each.failed:
            reasons.append(f"{each.kind}: {each.failed} of {each.requests} requests got no answer from one of the two")
        if each.other_tokens:
            reasons.append(f"{each.kind}: {each.other_tokens} answers are of other tokens")
        if each.largest is not None and each.largest > tolerance:
            reasons.append(f"{each.kind}: the largest |Δ log-probability| is {each.largest:.2g} nats")
        if each.same < same_texts * each.texts:
            reasons.append(f"{each.kind}: {each.same} of {each.texts} texts are alike")
    return reasons
