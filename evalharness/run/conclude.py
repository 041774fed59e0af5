"""Measurements of every model to Results, with the signature that says what exactly was measured."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from evalharness import fingerprint, results
from evalharness.analysis.average import lacking, with_average
from evalharness.analysis.compare_plan import UNNAMED, ComparePlan, asked_margins
from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.diagnosis import Ground, diagnose
from evalharness.analysis.overlap_split import Found, apart, asides_of, signed, write_overlap
from evalharness.analysis.rows import check_groups
from evalharness.analysis.worst_case import worst_cases
from evalharness.metrics.base import build, facts_of
from evalharness.records.comparison import Comparison
from evalharness.records.job import Job
from evalharness.records.measurements import TaskFacts, TaskOutcome
from evalharness.records.models import Checkpoint, EngineInfo
from evalharness.records.requests import PreparedTask
from evalharness.records.results import ModelRow, Results
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts, questions
from evalharness.stats.early_stopping import LOOKS, ROUNDS
from evalharness.tasks.metadata import only_describes

PACKAGES = (
    "evalharness",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "datasets",
    "sacrebleu",
    "rouge-score",
    "scipy",
    "numpy",
)
SUITE_MARGIN = 0.02  # in units of skill, where no suite states one


def planned(job: Job, run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> ComparePlan:
    """How the answers will be compared, settled and checked before there are any. Raises UsageError, TaskError."""
    facts = facts_before(run_plan, prepared)
    check_groups(facts, run_plan.groups)
    return _plan(job, run_plan, facts)


def facts_before(run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> list[TaskFacts]:
    """What is known of the tasks before anyone has answered."""
    return [_task_facts(task, {}, run_plan) for task in prepared]


def announced(run_plan: RunPlan, plan: ComparePlan, prepared: Sequence[PreparedTask]) -> tuple[str, ...]:
    """What a user should know before the answers are computed: what is asked beside, what cannot be, which average will
    not be computed.
    """
    asked = {
        which: sum(len(task.requests) for task in prepared if (task.task.name in run_plan.asides) is which)
        for which in (False, True)
    }
    said = (
        [
            f"other ways of asking: {asked[True]:,} more requests a model, beside the {asked[False]:,} of the tasks themselves"
        ]
        if asked[True]
        else []
    )
    absent = lacking(plan.average, [_task_facts(task, {}, run_plan) for task in prepared]) if plan.average else []
    if plan.average and absent:
        said.append(
            f"{plan.average.name} is left out: this run does not measure {', '.join(absent)} as it is published"
        )
    return (*run_plan.notices, *said)


def conclude(
    job: Job,
    run_plan: RunPlan,
    plan: ComparePlan,
    prompts: Prompts,
    measured: Mapping[str, Sequence[TaskOutcome]],
    info: EngineInfo,
) -> Results:
    """Compare every candidate with the base and write measurements.parquet, from which `compare` can do it again."""
    prepared, facts = prompts.by_model[run_plan.base.name], all_facts(run_plan, prompts, measured)
    measurements = [m for of_model in measured.values() for of_task in of_model for m in of_task.measurements]
    worst = worst_cases(run_plan.asides, prepared, facts, measurements)
    every, measurements = [*facts, *worst.facts], [*measurements, *worst.measurements]
    comparisons = with_average(compare(every, measurements, plan), every, plan.average, plan.suite_name)
    base = _base_row(run_plan.base) if isinstance(run_plan.base, Checkpoint) else run_plan.base.row
    others = (*run_plan.candidates, *run_plan.references)
    models = (base, *(_candidate_row(candidate, plan, comparisons, facts) for candidate in others))
    signature = {
        **_signature(job, run_plan, prepared, facts, info),
        "models": {model.name: model.fingerprint for model in models},
    }
    signature |= {"system_instruction": job.system_instruction, "chat": _spoken(job, prompts)}
    signature["tasks"] |= {fact.name: _computed(fact) for fact in worst.facts}
    parts = apart(run_plan, Found(prepared, facts, measurements), plan)
    if run_plan.overlaps:
        signature["overlap"] = signed(run_plan, prepared)
        deciding = {group.name: group.metric for group in run_plan.groups} | {fact.name: fact.primary for fact in facts}
        signature["asides"] |= asides_of(parts, deciding)
    write_overlap(job.out, run_plan, prepared)
    about = {"plan": asdict(plan), "models": [asdict(model) for model in models], "signature": signature}
    results.write_measurements(job.out, every, measurements, about)
    failed = tuple(
        example_error for of_model in measured.values() for of_task in of_model for example_error in of_task.errors
    )
    ground = Ground(every, measurements, comparisons, signature["asides"], plan.base, plan.groups, plan.seed)
    return Results(signature, models, (*comparisons, *parts), failed, diagnoses=diagnose(ground))


def all_facts(run_plan: RunPlan, prompts: Prompts, measured: Mapping[str, Sequence[TaskOutcome]]) -> list[TaskFacts]:
    """Every task's facts, with what differs from model to model."""
    found = []
    for i, others in enumerate(prompts.differing(run_plan.base.name)):
        asked = {model: prepared[i] for model, prepared in prompts.by_model.items()}
        cut = max(sum(example.truncated for example in task.examples) for task in asked.values())
        fact = _task_facts(
            asked[run_plan.base.name], {model: of_tasks[i] for model, of_tasks in measured.items()}, run_plan
        )
        found.append(replace(fact, truncated=cut, prompts=others))
    return found


def _task_facts(prepared: PreparedTask, measured: Mapping[str, TaskOutcome], run_plan: RunPlan) -> TaskFacts:
    """A task's facts; one that is asked aside has no metric that decides."""
    task = prepared.task
    return TaskFacts(
        name=task.name,
        family=task.family,
        version=task.version,
        primary="" if task.name in run_plan.asides else task.primary,
        margin=task.margin,
        chance=prepared.chance,
        available=prepared.available,
        truncated=sum(example.truncated for example in prepared.examples),
        failed={model: len(found.errors) for model, found in measured.items() if found.errors},
        unparsed={model: found.unparsed for model, found in measured.items() if found.unparsed},
        data_digest=prepared.data_digest,
        prompts_digest=prepared.prompts_digest,
        metrics=tuple(facts_of(spec, build(spec), prepared.examples) for spec in task.metrics),
        planned=len(units := Counter(example.unit for example in prepared.examples)),
        largest=max(units.values(), default=1),
        rounds={model: found.rounds for model, found in measured.items() if found.rounds is not None},
        partly=tuple(model for model, found in measured.items() if found.partly),
    )


def _plan(job: Job, run_plan: RunPlan, facts: Sequence[TaskFacts]) -> ComparePlan:
    suite, names, renamed = run_plan.suite, {fact.name for fact in facts}, run_plan.renamed
    judged = [fact for fact in facts if fact.name not in run_plan.asides]
    groups = [group for group in run_plan.groups if group.name not in run_plan.asides]
    stated, named = (
        {renamed.get(name, name): margin for name, margin in of.items()}
        for of in (suite.margins if suite else {}, job.margins)
    )
    margins = {**stated, **asked_margins(judged, groups, job.margin, named)}
    return ComparePlan(
        base=run_plan.base.name,
        candidates=tuple(candidate.name for candidate in run_plan.candidates),
        groups=run_plan.groups,
        suite_name=suite.name if suite else None,
        suite_margin=margins.get(suite.name if suite else UNNAMED, suite.margin if suite else SUITE_MARGIN),
        margins=margins,
        targets={
            c.name: target
            for c in run_plan.candidates
            if (target := renamed.get(c.target_task or "", c.target_task or "")) in names
        },
        alpha=job.alpha,
        seed=job.seed,
        describing=(*run_plan.asides, *(task.name for task in run_plan.tasks if only_describes(task))),
        average=suite.average if suite else None,
        references=tuple(reference.name for reference in run_plan.references),
        until_decided=job.until_decided,
    )


def _base_row(base: Checkpoint) -> ModelRow:
    return ModelRow(
        base.name, "base", base.fingerprint, None, base.parameters, base.trainable, 0.0, base.bytes, base.target_task
    )


def _candidate_row(
    candidate: Checkpoint, plan: ComparePlan, comparisons: Sequence[Comparison], facts: Sequence[TaskFacts]
) -> ModelRow:
    target = plan.targets.get(candidate.name, candidate.target_task)
    gain, learned = target_gain(comparisons, candidate.name, target, facts) if target else (None, None)
    return ModelRow(
        name=candidate.name,
        kind=candidate.kind,
        fingerprint=candidate.fingerprint,
        base=plan.base,
        parameters=candidate.parameters,
        trainable=candidate.trainable,
        trainable_share=candidate.trainable / candidate.parameters,
        bytes=candidate.bytes,
        target_task=target,
        target_gain=gain,
        learned_target=learned,
        training=dict(candidate.training),
    )


def _computed(fact: TaskFacts) -> dict[str, Any]:
    """A task that was not asked, as the signature has it."""
    return {
        "version": fact.version,
        "definition": fingerprint.of_value([fact.name, "worst", 1]),
        "data": fact.data_digest,
        "prompts": fact.prompts_digest,
        "available": fact.available,
        "lm_eval": "no",
        "metrics": {metric.id: metric.signature for metric in fact.metrics},
    }


def _spoken(job: Job, prompts: Prompts) -> dict[str, Any] | None:
    """By which chat template each model was asked; None where all were asked plainly."""
    if not any(prompts.templates.values()):
        return None
    return {"fewshot_as_multiturn": job.fewshot_as_multiturn is not False, "templates": dict(prompts.templates)}


def _signature(
    job: Job, run_plan: RunPlan, prepared: Sequence[PreparedTask], facts: Sequence[TaskFacts], info: EngineInfo
) -> dict[str, Any]:
    tasks = {
        of_task.task.name: {
            "version": of_task.task.version,
            "definition": of_task.task.digest,
            "data": of_task.data_digest,
            "prompts": of_task.prompts_digest,
            **({"prompts_of": fact.prompts} if fact.prompts else {}),
            "questions": questions(of_task),
            "examples": len(of_task.examples),
            "available": of_task.available,
            "lm_eval": of_task.task.lm_eval,
            "metrics": {metric.id: metric.signature for metric in fact.metrics},
        }
        for of_task, fact in zip(prepared, facts, strict=True)
    }
    return {
        "suite": run_plan.suite.name if run_plan.suite else None,
        "base": run_plan.base.name,
        "tasks": tasks,
        "groups": {group.name: list(group.tasks) for group in run_plan.groups},
        "template": job.templates,
        "describe": list(job.describe),
        **({"explain": True} if job.explain else {}),
        "asides": {name: asdict(aside) for name, aside in run_plan.asides.items()},
        "limit": run_plan.limit,
        "num_fewshot": run_plan.num_fewshot,
        "split": run_plan.split,
        "seed": job.seed,
        "alpha": job.alpha,
        "margin": job.margin,
        "until_decided": {"rounds": ROUNDS, "looks": list(LOOKS)} if job.until_decided else None,
        "margins": dict(job.margins),
        "precision": run_plan.precision or None,
        "engine": info.signature,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
