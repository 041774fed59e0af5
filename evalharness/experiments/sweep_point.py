"""Train one point of a sweep and measure it on the rows to choose on; a point that diverges is a result, no error."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evalharness import results
from evalharness.checkpoints.files import TRAINING
from evalharness.checkpoints.fingerprint import of_weights
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import factory_of
from evalharness.errors import ModelError
from evalharness.experiments.candidates import make_candidate
from evalharness.experiments.grid import GridPoint
from evalharness.experiments.selection import Selection
from evalharness.json_text import parse_json
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Rank, Ranking, row_of
from evalharness.records.results import Results
from evalharness.report.sweep import DIVERGED, PEAKS, TRAINED, UNUSABLE, Point, outcome_of
from evalharness.run.collect import collect
from evalharness.run.evaluation import carry_out
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.session import answer_source
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare, training_pairs

DIVERGENCE = "diverged"  # a word of training's error
LOST = ".diverged.json"  # the end of the name of its record


@dataclass(frozen=True, slots=True)
class PointJob:
    """All that a process needs to train and measure one point.

    `job`: the point's run on the rows to choose on. `selection`: these rows. `digest`: of the training rows. `threads`:
    torch's, None for its default.
    """

    point: GridPoint
    job: Job
    selection: Selection
    digest: str
    threads: int | None = None


def make_point(spec: PointJob, listener: ProgressListener | None = None) -> Point:
    """Train and measure a point, or continue from an earlier call: nothing is trained or answered twice.

    Raises EvalHarnessError for anything but a training that diverged and a model that cannot answer.
    """
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    listener, grid = listener or SilentListener(), spec.point
    recipe = grid.recipe
    point = Point(
        name=grid.name,
        series=grid.series,
        method=recipe.method,
        rank=grid.rank,
        learning_rate=recipe.rate,
        seed=recipe.seed,
        status=TRAINED,
    )
    if (failure := _failed_before(spec)) is not None:
        return replace(point, status=DIVERGED, reason=failure)
    try:
        path = make_candidate(recipe, spec.selection.source, listener, Library(spec.job.tasks.include))
    except ModelError as error:
        if DIVERGENCE not in error.what:
            raise
        _remember(spec, error.what)
        return replace(point, status=DIVERGED, reason=error.what)
    point = replace(point, made=training_facts(path))
    try:
        measured, loss = _measure(spec, listener)
    except ModelError as error:  # the weights are finite, and the logits are not
        return replace(point, status=UNUSABLE, reason=error.what[:300])
    if measured.unanswered:
        return replace(point, status=UNUSABLE, reason=measured.unanswered)
    return replace(point, loss=loss, validation=outcome_of(measured, grid.name, recipe.target))


def training_facts(path: Path) -> dict[str, float]:
    """Read the numbers of training.json for a table."""
    facts = json.loads((path / TRAINING).read_text())
    keys = ("trainable", "parameters", "bytes", "seconds", "tokens_per_second", *PEAKS)
    numbers = {key: facts[key] for key in keys if isinstance(facts.get(key), int | float)}
    return {**numbers, "steps": len(facts.get("losses", ())), "examples": facts["data"]["examples"]}


def _measure(spec: PointJob, listener: ProgressListener) -> tuple[Results, float | None]:
    factory = factory_of(spec.job.engine)
    run_plan = spec.selection.run_plan(make_run_plan(spec.job))
    measured = carry_out(spec.job, run_plan, listener, factory)
    listener.phase(f"{spec.point.name}: loss on the rows to choose on")
    return measured, _loss(spec, run_plan, run_plan.candidates[0])


def _loss(spec: PointJob, run_plan: RunPlan, checkpoint: Checkpoint) -> float | None:
    """Average the negative log-probability of the answers' tokens (nats), without the end token, over the target's rows
    to choose on.
    """
    pairs = pairs_chosen_on(run_plan, spec.point.recipe.target, spec.job.statistics.seed)
    requests = [Rank(pairs=(pair,)) for pair in pairs]
    with answer_source(checkpoint, factory_of(spec.job.engine), spec.job) as source:
        answers = collect(requests, source)
    scored = [answers[request.id] for request in requests]
    rankings = [answer for answer in scored if isinstance(answer, Ranking)]
    tokens = sum(answer.tokens[0] for answer in rankings)
    return -sum(answer.logprobs[0] for answer in rankings) / tokens if tokens else None


def pairs_chosen_on(run_plan: RunPlan, target: str, seed: int) -> list[tuple[str, str]]:
    """List (prompt, answer) of the target's rows that the evaluation draws under its limit."""
    task = next(task for task in run_plan.tasks if task.name == target)
    prepared = prepare(task, run_plan.source, PromptSettings(num_fewshot=0, limit=run_plan.limit_of(task), seed=seed))
    pairs = training_pairs(task, run_plan.source, task.evaluation_split).pairs
    return [pairs[row_of(example.id)] for example in prepared.examples]


# ---- divergence, remembered ------------------------------------------------------------------------------------------


def _record(spec: PointJob) -> Path:
    out = Path(spec.point.recipe.out)
    return out.with_name(f"{out.name}{LOST}")


def _identity(spec: PointJob) -> dict[str, Any]:
    """Return all that must be equal for a training to diverge again."""
    base = recognise(spec.point.recipe.base, role="base")
    recipe = json.loads(json.dumps(spec.point.recipe.to_json()))
    return {"recipe": recipe, "base": of_weights(base.path), "data": spec.digest}


def _remember(spec: PointJob, reason: str) -> None:
    results.write_text(_record(spec), json.dumps({**_identity(spec), "reason": reason}, indent=1) + "\n")


def _failed_before(spec: PointJob) -> str | None:
    """Return why this very point diverged in an earlier call; None if it did not."""
    try:
        record = dict(parse_json(_record(spec).read_bytes()))
        reason = str(record.pop("reason"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return reason if record == _identity(spec) else None
