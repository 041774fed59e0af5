"""Make a run's signature: the exact tasks, data, prompts, settings, engine and package versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalharness import fingerprint
from evalharness.analysis.baseline import MIXED, Baseline, questions_digest
from evalharness.records.job import Job
from evalharness.records.measurements import TaskFacts
from evalharness.records.models import EngineInfo
from evalharness.records.requests import PreparedTask
from evalharness.registry import versions_of
from evalharness.run.overlap_facts import overlap_signature
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts
from evalharness.stats.early_stopping import LOOKS, ROUNDS

PACKAGES = (
    *("evalharness", "torch", "transformers", "tokenizers", "peft", "datasets"),
    *("sacrebleu", "rouge-score", "scipy", "numpy"),
)


def signature_of(
    job: Job, run_plan: RunPlan, prompts: Prompts, facts: Sequence[TaskFacts], info: EngineInfo
) -> dict[str, Any]:
    """Make the signature. `facts`: about the tasks that were asked, then about those that were computed from other
    answers.
    """
    prepared = prompts.by_model[run_plan.base.name]
    tasks = {task.task.name: _task(task, fact) for task, fact in zip(prepared, facts, strict=False)}
    base = run_plan.base.row if isinstance(run_plan.base, Baseline) else run_plan.base
    models = (base, *run_plan.candidates, *run_plan.references)
    packed = run_plan.base.packed if isinstance(run_plan.base, Baseline) else ""
    return {
        "suite": run_plan.suite.name if run_plan.suite else None,
        "base": run_plan.base.name,
        **({"baseline": packed} if packed else {}),
        "tasks": {**tasks, **{fact.name: _computed_task(fact) for fact in facts[len(prepared) :]}},
        "groups": {group.name: list(group.tasks) for group in run_plan.groups},
        "template": job.tasks.templates,
        "describe": list(job.description.ways),
        **({"describe_with": sorted(job.description.files)} if job.description.files else {}),
        **({"explain": True} if job.description.explain else {}),
        **({"drift_only": True} if job.description.drift_only else {}),
        "limit": run_plan.limit,
        "num_fewshot": run_plan.num_fewshot,
        "split": run_plan.split,
        "seed": job.statistics.seed,
        **_judged_by(job),
        "until_decided": {"rounds": ROUNDS, "looks": list(LOOKS)} if job.statistics.until_decided else None,
        "precision": run_plan.precision or None,
        "engine": info.signature,
        **_mixed_engines(run_plan, info),
        "packages": versions_of(PACKAGES),
        "models": {model.name: model.fingerprint for model in models},
        **({"unchanged": dict(run_plan.unchanged)} if run_plan.unchanged else {}),
        "system_instruction": job.prompts.system_instruction,
        "chat": _chat(job, prompts),
        **({"overlap": overlap_signature(run_plan, prepared)} if run_plan.overlaps else {}),
    }


def _mixed_engines(run_plan: RunPlan, info: EngineInfo) -> dict[str, Any]:
    """Return the base's engine if it differs from the candidates', else {}."""
    base = run_plan.base
    if isinstance(base, Baseline) and base.engine["fingerprint"] != info.fingerprint:
        return {MIXED: {base.name: dict(base.engine)}}
    return {}


def _judged_by(job: Job) -> dict[str, Any]:
    """Return the settings that judge the run: the error rate, the margins as the user set them, the gate's policy."""
    statistics = job.statistics
    stated = {"alpha": statistics.alpha, "margin": statistics.margin, "margins": dict(statistics.margins)}
    return {**stated, "policy": job.policy.facts(stated)}


def _task(prepared: PreparedTask, fact: TaskFacts) -> dict[str, Any]:
    task = prepared.task
    return {
        "version": task.version,
        "definition": task.digest,
        "data": prepared.data_digest,
        "prompts": prepared.prompts_digest,
        **({"prompts_of": fact.prompts} if fact.prompts else {}),
        "questions": questions_digest(prepared),
        "examples": len(prepared.examples),
        "available": prepared.available,
        "lm_eval": task.lm_eval,
        "metrics": {metric.id: metric.signature for metric in fact.metrics},
    }


def _computed_task(fact: TaskFacts) -> dict[str, Any]:
    """Describe a task that was computed from the answers to others."""
    return {
        "version": fact.version,
        "definition": fingerprint.of_value([fact.name, "worst", 1]),
        "data": fact.data_digest,
        "prompts": fact.prompts_digest,
        "available": fact.available,
        "lm_eval": "no",
        "metrics": {metric.id: metric.signature for metric in fact.metrics},
    }


def _chat(job: Job, prompts: Prompts) -> dict[str, Any] | None:
    """Return the chat template of each model; None if all prompts were plain."""
    if not any(prompts.templates.values()):
        return None
    return {"fewshot_as_multiturn": job.prompts.fewshot_as_multiturn is not False, "templates": dict(prompts.templates)}
