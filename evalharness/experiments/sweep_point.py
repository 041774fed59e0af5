"""One point of a sweep to a candidate and what it scores on the rows to choose on; a point that diverges is a finding,
not an error.
"""

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
from evalharness.experiments.demo import make_candidate
from evalharness.experiments.grid import GridPoint
from evalharness.experiments.selection import Selection
from evalharness.records.comparison import Level
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Rank, Ranking
from evalharness.records.results import Results
from evalharness.report.sweep import DIVERGED, TRAINED, UNUSABLE, Outcome, Point
from evalharness.run.collect import AnswerSource, collect
from evalharness.run.evaluation import settle
from evalharness.run.overlap_facts import index_of
from evalharness.run.plan import RunPlan, make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.stats.enums import Verdict
from evalharness.store import Store
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare, training_pairs

DIVERGENCE = "diverged"  # in the words of training's error
LOST = ".diverged.json"  # the end of the name of a record of it


@dataclass(frozen=True, slots=True)
class PointJob:
    """All that a process needs to make and to measure one point. `job`: of its run on the rows to choose on; `digest`:
    of its training rows; `threads`: of its arithmetic, None: as they are.
    """

    point: GridPoint
    job: Job
    selection: Selection
    digest: str
    threads: int | None = None


def make_point(point_job: PointJob, listener: ProgressListener | None = None) -> Point:
    """Train and measure, or take over what an earlier call left: nothing is trained or answered twice.

    Raises EvalHarnessError for anything but a training that diverged and a model that cannot answer.
    """
    if point_job.threads is not None:
        torch.set_num_threads(point_job.threads)
    listener, grid = listener or SilentListener(), point_job.point
    recipe = grid.recipe
    blank = Point(grid.name, grid.series, recipe.method, grid.rank, recipe.rate, recipe.seed, TRAINED)
    failed = _failed_before(point_job)
    if failed is not None:
        return replace(blank, status=DIVERGED, reason=failed)
    try:
        path = make_candidate(recipe, point_job.selection.source, listener, Library(point_job.job.tasks.include))
    except ModelError as error:
        if DIVERGENCE not in error.what:
            raise
        _remember(point_job, error.what)
        return replace(blank, status=DIVERGED, reason=error.what)
    blank = replace(blank, made=made_of(path))
    try:
        found, loss = _measured(point_job, listener)
    except ModelError as error:  # weights that are finite, and logits that are not
        return replace(blank, status=UNUSABLE, reason=f"{error.what}"[:300])
    if found.errors:
        return replace(
            blank, status=UNUSABLE, reason=f"{len(found.errors)} examples got no answer: {found.errors[0].reason}"[:300]
        )
    return replace(blank, loss=loss, validation=outcome(found, grid.name, recipe.target))


def outcome(found: Results, name: str, target: str) -> Outcome:
    """What was found of one candidate."""
    rows = [c for c in found.comparisons if c.candidate == name]
    model = next(model for model in found.models if model.name == name)
    units = [c for c in rows if c.unit and c.level != Level.SUITE and c.task != target]
    suite = next((c.difference for c in rows if c.level == Level.SUITE and c.primary), None)
    metrics = {
        c.metric: c.candidate_score.value for c in rows if c.task == target and c.level in (Level.TASK, Level.GROUP)
    }
    lost = tuple(c.task for c in units if c.verdict == Verdict.FORGOTTEN)
    return Outcome(metrics, model.target_gain, model.learned_target, suite, lost, len(units))


def made_of(path: Path) -> dict[str, float]:
    """What training.json says that a table shows."""
    facts = json.loads((path / TRAINING).read_text())
    found = {
        key: facts[key]
        for key in ("trainable", "parameters", "bytes", "seconds")
        if isinstance(facts.get(key), int | float)
    }
    return {**found, "steps": len(facts.get("losses", ())), "examples": facts["data"]["examples"]}


def _measured(point_job: PointJob, listener: ProgressListener) -> tuple[Results, float | None]:
    factory = factory_of(point_job.job.engine)
    run_plan = point_job.selection.run_plan(make_run_plan(point_job.job))
    found = settle(point_job.job, run_plan, listener, factory)
    listener.phase(f"{point_job.point.name}: loss on the rows to choose on")
    return found, _loss(point_job, run_plan, run_plan.candidates[0])


def _loss(point_job: PointJob, run_plan: RunPlan, checkpoint: Checkpoint) -> float | None:
    """Mean negative log-probability of the answers' tokens (nats), end token aside, over the very rows that the target
    is chosen on.
    """
    factory, job = factory_of(point_job.job.engine), point_job.job
    requests = [
        Rank(pairs=(pair,)) for pair in pairs_chosen_on(run_plan, point_job.point.recipe.target, job.statistics.seed)
    ]
    opened: list[Any] = []

    def engine() -> Any:
        if not opened:
            opened.append(factory.open(checkpoint, job.engine))
        return opened[0]

    with Store(job.output.store) as store:
        try:
            answers = collect(
                requests,
                AnswerSource(
                    checkpoint.fingerprint, factory.describe(checkpoint, job.engine).fingerprint, store, engine
                ),
            )
        finally:
            for each in opened:
                each.close()
    scored = [answers[request.id] for request in requests]
    rankings = [answer for answer in scored if isinstance(answer, Ranking)]
    tokens = sum(answer.tokens[0] for answer in rankings)
    return -sum(answer.logprobs[0] for answer in rankings) / tokens if tokens else None


def pairs_chosen_on(run_plan: RunPlan, target: str, seed: int) -> list[tuple[str, str]]:
    """(prompt, answer) of the target's rows that a limit leaves, which the evaluation draws."""
    task = next(task for task in run_plan.tasks if task.name == target)
    asked = prepare(task, run_plan.source, PromptSettings(num_fewshot=0, limit=run_plan.limit_of(task), seed=seed))
    pairs = training_pairs(task, run_plan.source, task.evaluation_split).pairs
    return [pairs[index_of(example)] for example in asked.examples]


# ---- divergence, remembered ------------------------------------------------------------------------------------------


def _record(point_job: PointJob) -> Path:
    out = Path(point_job.point.recipe.out)
    return out.with_name(f"{out.name}{LOST}")


def _identity(point_job: PointJob) -> dict[str, Any]:
    """What must be the same for the same thing to happen again."""
    base = recognise(point_job.point.recipe.base, role="base")
    return {
        "recipe": json.loads(json.dumps(point_job.point.recipe.to_json())),
        "base": of_weights(base.path),
        "data": point_job.digest,
    }


def _remember(point_job: PointJob, reason: str) -> None:
    results.write_text(_record(point_job), json.dumps({**_identity(point_job), "reason": reason}, indent=1) + "\n")


def _failed_before(point_job: PointJob) -> str | None:
    """Why this very point diverged in an earlier call; None where it did not."""
    try:
        found = dict(json.loads(_record(point_job).read_text()))
        reason = str(found.pop("reason"))
    except (OSError, ValueError, KeyError):
        return None
    return reason if found == _identity(point_job) else None
