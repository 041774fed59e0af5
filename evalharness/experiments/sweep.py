"""Sweep a grid of recipes: train and measure every point, and choose one learning rate for each series.

The chosen candidates are then compared with their base on test rows.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from evalharness import results
from evalharness.checkpoints.files import TRAINING
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError, UsageError, did_you_mean
from evalharness.experiments.best_series import with_best
from evalharness.experiments.grid import GridPoint
from evalharness.experiments.jobs import SweepJob
from evalharness.experiments.selection import selection_of
from evalharness.experiments.sweep_point import LOST, PointJob, make_point
from evalharness.json_text import parse_json
from evalharness.metrics.build import build
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.models import Checkpoint
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.report.sweep import LOSS, SWEEP, TRAINED, Choice, Point, Sweep, grouped, outcome_of
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.tasks.library import Library
from evalharness.training.data import gather
from evalharness.training.start import check_machine

CANDIDATES, VALIDATION, ROWS, STORE = "candidates", "validation", "rows", "store.sqlite"
RULE = (
    "Of each series the rate with the best mean {what} over all seeds was chosen, the smaller of equals; "
    "rates with a failed seed cannot be."
)


def run_sweep(sweep_job: SweepJob, listener: ProgressListener | None = None) -> tuple[Sweep, Results]:
    """Train and measure every point, choose the best, and compare the chosen candidates with their base on test rows.

    The test rows are not read before. The job's output folder gets sweep.json and the files of a run. After an
    interruption, a second call goes on from the last finished step.

    Raises EvalHarnessError, for wrong options before anything is trained; ModelError if no rate could be chosen.
    """
    listener, job = listener or SilentListener(), sweep_job.job
    specs, sweep = _planned(sweep_job, listener)
    points = tuple(_make_points(specs, sweep_job.processes, listener))
    choices = choose(points, sweep.select, _lower_is_better(sweep_job, sweep.select))
    sweep = replace(sweep, points=points, chosen=tuple(choices))
    SWEEP.write(job.output.folder, sweep)
    if not sweep.chosen:
        reasons = "; ".join(dict.fromkeys(point.reason for point in points if point.reason))
        what = f"no learning rate can be chosen: {reasons}"[:600]
        raise ModelError("sweep", what, "smaller learning rates with --lr")
    for point in points:
        if point.status != TRAINED:
            listener.notice(f"{point.name} {point.status}: {point.reason}")
    listener.phase("the chosen candidates on test rows")
    paths = {spec.point.name: spec.point.recipe.out for spec in specs}
    names = [name for choice in sweep.chosen for name in choice.names]
    compared = evaluate(job_with(job, models=tuple(f"{name}={paths[name]}" for name in names)), listener)
    tested = [replace(p, test=outcome_of(compared, p.name, sweep.task)) if p.name in names else p for p in points]
    sweep = with_best(replace(sweep, points=tuple(tested)), results.read_measurements(job.output.folder))
    SWEEP.write(job.output.folder, sweep)
    write(job.output.folder)
    return sweep, compared


def choose(points: Sequence[Point], select: str, lower: bool) -> Iterator[Choice]:
    """Choose one rate for each series: that of the best mean over seeds on the rows to choose on, the smaller of equal
    ones. `lower`: less of `select` is better.
    """
    by_series: dict[str, list[Choice]] = {}
    for (series, rate), same in grouped(
        Sweep(base="", task="", suite="", select=select, rule="", rows={}, points=tuple(points))
    ).items():
        scores = [score_of(point, select) for point in same]
        if all(score is not None for score in scores):
            mean = fmean(score for score in scores if score is not None)
            by_series.setdefault(series, []).append(Choice(series, rate, mean, tuple(point.name for point in same)))
    for choices in by_series.values():
        yield min(choices, key=lambda choice: (choice.score if lower else -choice.score, choice.learning_rate))


def score_of(point: Point, select: str) -> float | None:
    """Return the score by which the point is chosen; None if it has none."""
    if point.status != TRAINED or point.validation is None:
        return None
    return point.loss if select == LOSS else point.validation.metrics.get(select)


# ---- before anything is trained --------------------------------------------------------------------------------------


def _planned(sweep_job: SweepJob, listener: ProgressListener) -> tuple[list[PointJob], Sweep]:
    """Plan the sweep, and check tasks, rows, base, every recipe and the metric to choose by."""
    job, grid = sweep_job.job, sweep_job.grid
    if not (job.models.base and job.models.target):
        raise UsageError("sweep", "no base, or no task to learn", "state --base and --task")
    listener.phase("reading tasks and rows")
    base, library = recognise(job.models.base, role="base"), Library(job.tasks.include)
    run_plan = make_run_plan(job_with(job, models=(f"unchanged={base.path}",), allow_noop=True))
    target, select = library.task(job.models.target), _selected_by(sweep_job)
    points = grid.points(str(base.path), target.name, job.output.folder / CANDIDATES)
    for point in points:
        check_machine(point.recipe)
    _not_another(job.output.folder, base, target.name, job.tasks.suite or "")
    trained = gather(points[0].recipe, library, run_plan.source).tasks
    selection = selection_of(run_plan, target, trained, job.output.folder / ROWS)
    of_seed = {point.recipe.seed: point for point in points}
    digests = {seed: gather(point.recipe, library, selection.source).digest for seed, point in of_seed.items()}
    for notice in selection.notices():
        listener.notice(notice)
    threads = (
        None
        if sweep_job.processes == 1
        else max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // sweep_job.processes))
    )
    specs = [PointJob(point, _job_of(job, point), selection, digests[point.recipe.seed], threads) for point in points]
    rule = RULE.format(what="loss" if select == LOSS else select)
    notices, splits = tuple(selection.notices()), dict(selection.splits)
    return specs, Sweep(
        base=base.name,
        task=target.name,
        suite=job.tasks.suite or "",
        select=select,
        rule=rule,
        rows=splits,
        points=(),
        chosen=(),
        notices=notices,
        base_fingerprint=base.fingerprint,
    )


def _selected_by(sweep_job: SweepJob) -> str:
    """Return the metric to choose by. Raises UsageError if the target has no such metric."""
    target = Library(sweep_job.job.tasks.include).task(sweep_job.job.models.target or "")
    if sweep_job.select is None:
        return target.primary
    names = [LOSS, *(spec.id for spec in target.metrics)]
    if sweep_job.select not in names:
        raise UsageError(
            "--select", f"{target.name} has no metric {sweep_job.select!r}", did_you_mean(sweep_job.select, names)
        )
    return sweep_job.select


def _lower_is_better(sweep_job: SweepJob, select: str) -> bool:
    target = Library(sweep_job.job.tasks.include).task(sweep_job.job.models.target or "")
    return select == LOSS or any(spec.id == select and not build(spec).higher_is_better for spec in target.metrics)


def _job_of(job: Job, point: GridPoint) -> Job:
    """Make the job of one point's run on the rows to choose on."""
    return job_with(job, models=(f"{point.name}={point.recipe.out}",), out=job.output.folder / VALIDATION / point.name)


def _not_another(out: Path, base: Checkpoint, task: str, suite: str) -> None:
    """Check the output folder. Raises UsageError if it holds the sweep of another base, task or suite, finished or not,
    which would be lost.
    """
    before = SWEEP.read(out)
    if before is not None and (before.task, before.suite) != (task, suite):
        raise UsageError(
            "--out", f"{out} holds a sweep of {before.task} over {before.suite or 'no suite'}", "name another folder"
        )
    pairs = _bases_and_tasks(out)
    if before is not None and before.base_fingerprint:
        pairs.add((before.base_fingerprint, before.task))
    for fingerprint, learned in pairs - {(base.fingerprint, task)}:
        other = f"another base{f' ({before.base})' if before else ''}"
        what = learned if fingerprint == base.fingerprint else other
        raise UsageError("--out", f"{out} holds a sweep of {what}", "name another folder")


def _bases_and_tasks(out: Path) -> set[tuple[str, str]]:
    """Collect (the base's fingerprint, the task) of every candidate of an earlier sweep in the folder, also of those
    that diverged.
    """
    pairs = set()
    for path in [*(out / CANDIDATES).glob(f"*/{TRAINING}"), *(out / CANDIDATES).glob(f"*{LOST}")]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = parse_json(path.read_bytes())
            key = "base" if path.name.endswith(LOST) else "base_fingerprint"
            pairs.add((facts[key], facts["recipe"]["target"]))
    return pairs


# ---- making points ---------------------------------------------------------------------------------------------------


def _make_points(specs: Sequence[PointJob], processes: int, listener: ProgressListener) -> list[Point]:
    """Train and measure every point, in the order of the grid. With several processes the first point runs alone,
    because it also answers for the base, once for all.
    """
    points: dict[str, Point] = {}

    def keep(point: Point) -> None:
        points[point.name] = point
        listener.phase(f"{len(points)} of {len(specs)} points: {point.name} {point.status}")

    if processes == 1:
        for spec in specs:
            listener.phase(f"training {spec.point.name}")
            keep(make_point(spec, listener))
        return list(points.values())
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        keep(pool.submit(make_point, specs[0]).result())
        for future in as_completed([pool.submit(make_point, spec) for spec in specs[1:]]):
            keep(future.result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    return [points[spec.point.name] for spec in specs]
