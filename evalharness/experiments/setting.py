"""Compute digests of an experiment's settings and rows, so that a folder never continues another experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from evalharness import fingerprint
from evalharness.data.sources import missing, read_rows
from evalharness.records.job import Job
from evalharness.records.tasks import Task
from evalharness.run.plan import RunPlan


def setting_of(job: Job, run_plan: RunPlan) -> str:
    """Return the digest of tasks, shots, limits, split, seed, prompts, margins and error rate."""
    statistics = job.statistics
    tasks = {task.name: [task.digest, run_plan.shots_of(task), run_plan.limit_of(task)] for task in run_plan.tasks}
    judged = {"alpha": statistics.alpha, "margin": statistics.margin, "margins": dict(statistics.margins)}
    sampling = {"split": run_plan.split, "seed": statistics.seed}
    return fingerprint.of_value({"tasks": tasks, **sampling, **judged, **asdict(job.prompts)})


def difference(before: object, now: object, keys: Sequence[str]) -> str:
    """Return the first of the fields `keys` in which an experiment differs from the one in a folder; "" for none."""
    key = next((key for key in keys if getattr(before, key) != getattr(now, key)), "")
    return {"": "", "rows": "over other rows"}.get(key, f"with another {key.replace('_', ' ')}")


def rows_digest(run_plan: RunPlan) -> str:
    """Return the digest of the rows of all tasks and of their few-shot examples. Raises DataError."""
    return fingerprint.of_value({task.name: _digests(task, run_plan) for task in run_plan.judged_tasks})


def _digests(task: Task, run_plan: RunPlan) -> dict[str, str]:
    split = run_plan.split or task.evaluation_split
    number = run_plan.shots_of(task)
    shots = task.fewshot_split if (task.num_fewshot if number is None else number) else None
    there = {split} | ({shots} if shots and missing([task], run_plan.source, shots) is None else set())
    return {name: read_rows(task, name, run_plan.source).digest for name in sorted(there)}
