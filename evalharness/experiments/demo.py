"""Train the demo's candidates on the shipped data (fixtures/demo/recipes.json), evaluate them, and write a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.data.sources import DataSource
from evalharness.engines.base import factory_of
from evalharness.errors import DataError
from evalharness.experiments.jobs import RepairJob
from evalharness.experiments.repair import CANDIDATE, SUFFIX, chosen_repair
from evalharness.experiments.repair_rules import KEPT, RepairRule
from evalharness.experiments.side_by_side import make_candidates, possible_processes
from evalharness.experiments.whole_run import evaluate_whole
from evalharness.experiments.workers import one_thread_each
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.report.repair import REPAIRS
from evalharness.report.sweep import Outcome, outcome_of
from evalharness.run.evaluation import evaluate
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.training.recipe import Recipe

SUITE = "demo"
RECIPES = "recipes.json"
VALIDATION, VALIDATION_LIMIT = "validation", 60  # the split that chooses the repairs, and its rows a task
TEST = "test"  # a folder of runs of single models, whose answers the final comparison reads from the store
RULE = RepairRule.KNEE
MOST = 2  # candidates that are repaired


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The candidates of the demo. `target`: the task that they learn. `fields`: candidate -> fields of its Recipe,
    without base, out, target and seed.
    """

    target: str
    fields: Mapping[str, Mapping[str, Any]]

    def recipe(self, name: str, base: Path, out: Path, seed: int) -> Recipe:
        own = {"base": str(base), "out": str(out), "target": self.target, "seed": seed}
        return Recipe.from_fields({**self.fields[name], **own})


def plan() -> Plan:
    """Read the shipped plan. Raises DataError for a broken file."""
    path = shipped("fixtures/demo") / RECIPES
    try:
        document = json.loads(path.read_text())
        return Plan(target=document["target"], fields=document["candidates"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(path, f"not the demo's recipes ({error})", "install evalharness again") from error


def base() -> Path:
    """Return the path of the shipped base checkpoint."""
    return shipped("fixtures/models") / "tiny-base"


def world() -> DataSource:
    """Return the source of the shipped rows."""
    return DataSource(shipped=shipped("fixtures/world/rows"))


def run_demo(
    folder: Path,
    seed: int = 1234,
    listener: ProgressListener | None = None,
    limit: int | None = None,
    demo_plan: Plan | None = None,
    processes: int | None = None,
) -> Results:
    """Train the demo's candidates, repair the most promising ones, evaluate all on the demo suite's test rows, and
    write the report. All files go into `folder`.

    `limit`: most rows a task. `demo_plan`: candidates instead of the shipped plan's. `processes`: how many train, then
    answer, at a time, each with one thread; None for as many as cores and memory allow; they do not change the results.
    After an interruption, a second call goes on from the last finished step.
    """
    listener, demo_plan = listener or SilentListener(), demo_plan or plan()
    recipes = [demo_plan.recipe(name, base(), folder / "candidates" / name, seed) for name in demo_plan.fields]
    make_candidates(sorted(recipes, key=_is_quick), world(), listener, processes)
    job = make_job(
        [recipe.out for recipe in recipes],
        SUITE,
        base=base(),
        target=demo_plan.target,
        limit=limit,
        out=folder,
        store=folder / "store.sqlite",
        seed=seed,
        explain=True,
    )
    with one_thread_each(processes or possible_processes()) as executor:
        models = _answered(job, executor, listener)
        results = evaluate(job_with(job, models=models), listener)
    write(folder)
    return results


def _answered(job: Job, executor: Executor, listener: ProgressListener) -> list[str]:
    """Repair the most promising candidates on validation rows, have all models answer the test rows in parallel, and
    return the models to compare, whose answers are then stored.
    """
    out, paths = job.output.folder, {Path(text).name: text for text in job.models.candidates}
    limit = min(VALIDATION_LIMIT, job.tasks.limit or VALIDATION_LIMIT)
    choosing = job_with(job, limit=limit, explain=False)
    listener.phase(f"answers to {VALIDATION} rows, which choose what is repaired, and to {TEST} rows")
    first, *others = _each(job, paths, TEST)
    answers = [executor.submit(answer, first)]  # it answers for the base, too, takes longest, and so starts first
    screen = _each(job_with(choosing, split=VALIDATION), paths, VALIDATION)
    outcomes = [executor.submit(answer, screen[0]).result()]
    outcomes += [each.result() for each in [executor.submit(answer, each) for each in screen[1:]]]
    names = promising(dict(zip(paths, outcomes, strict=True)))
    listener.phase(f"repairing {' and '.join(names) or 'no candidate'}; answers to {TEST} rows")
    repair_jobs = [
        RepairJob(
            job_with(choosing, models=paths[name], out=out / REPAIRS / name),
            RULE,
            choose_split=VALIDATION,
            replaces=True,
        )
        for name in names
    ]
    repairs = [executor.submit(chosen_repair, repair_job, SilentListener()) for repair_job in repair_jobs]
    answers[0].result()
    answers += [executor.submit(answer, each) for each in others]
    names = [repair.candidate for each in repairs if (repair := each.result()).chosen is not None]
    places = {f"{name}{SUFFIX}": out / REPAIRS / name / CANDIDATE for name in names}
    repaired = {name: f"{name}={place}" for name, place in places.items()}
    answers += [executor.submit(answer, each) for each in reversed(_each(job, repaired, TEST))]  # LoRA is slower
    for each in answers:
        each.result()
    return [*paths.values(), *repaired.values()]


def _each(job: Job, models: Mapping[str, str], folder: str) -> list[Job]:
    """Make an evaluation job for each model by itself."""
    return [job_with(job, models=text, out=job.output.folder / folder / name) for name, text in models.items()]


def answer(job: Job) -> Outcome:
    """Evaluate one candidate, and summarise the outcome."""
    measured = evaluate_whole(job, "the candidate", SilentListener(), factory_of(job.engine), overlaps=False)
    return outcome_of(measured, measured.candidates[0], job.models.target)


def promising(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Name the candidates that are worth a repair: of those that learned the target and lost more than the suite's
    margin, the MOST with the largest gains, in that order.
    """
    gains = {
        name: outcome.gain.value
        for name, outcome in outcomes.items()
        if outcome.learned and outcome.gain is not None and outcome.suite is not None and outcome.suite.value < KEPT
    }
    return sorted(gains, key=lambda name: -gains[name])[:MOST]


def _is_quick(recipe: Recipe) -> bool:
    """Return whether the recipe is one of the short trainings. They come last, so that no core waits at the end."""
    return recipe.method == "full" and not recipe.replay
