"""Decide before any answer how a run is compared, and gather its measurements into a MeasuredRun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalharness import registry
from evalharness.analysis.average import average_notices
from evalharness.analysis.gate_units import gate_units
from evalharness.analysis.margins import asked_margins, check_margins, names_of
from evalharness.analysis.unit_rules import UnitNames, is_known, policy_for_units, unit_rules
from evalharness.analysis.worst_case import worst_cases
from evalharness.checkpoints.soft_prompt import soft_prompt
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.job import Job
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.models import NO_TARGET, Checkpoint, EngineInfo, ModelKind
from evalharness.records.requests import PreparedTask
from evalharness.records.results import ModelRow
from evalharness.run.facts import Outcomes, all_facts, facts_before
from evalharness.run.overlap_facts import overlapping_units
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts
from evalharness.run.signature import signature_of
from evalharness.tasks.metadata import only_describes

WORDS = {"rouge": "evalharness.metrics.rouge:has_words"}  # it imports libraries that only runs with ROUGE need


class RunState(NamedTuple):
    """A run so far: its plan, the plan of its comparison, its prompts, and its measurements.

    `outcomes`: model -> the measurements of every task in the order of the plan; the base comes first.
    """

    run_plan: RunPlan
    plan: ComparePlan
    prompts: Prompts
    outcomes: Outcomes


def compare_plan(job: Job, run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> ComparePlan:
    """Make the plan of the comparison, before there are answers. Raises UsageError, TaskError."""
    facts, suite, renamed = facts_before(prepared), run_plan.suite, run_plan.renamed
    judged = [fact for fact in facts if fact.variant is None or not fact.variant.beside]
    groups = [group for group in run_plan.groups if not group.beside]
    of_suite, of_job = (
        {renamed.get(name, name): margin for name, margin in margins.items()}
        for margins in (suite.margins if suite else {}, job.statistics.margins)
    )
    names = names_of([*judged, *groups], suite.name if suite else None)
    of_run = {name: margin for name, margin in of_job.items() if name in names}
    margins = {**of_suite, **asked_margins(judged, groups, job.statistics.margin, of_run)}
    targets = {c.name: renamed.get(c.target_task, c.target_task) for c in run_plan.candidates if c.target_task}
    describing = (*(each.name for each in run_plan.tasks_and_groups if each.beside), *run_plan.computed)
    plan = ComparePlan(
        base=run_plan.base.name,
        candidates=tuple(candidate.name for candidate in run_plan.candidates),
        groups=run_plan.groups,
        suite_name=suite.name if suite else None,
        margins=margins,
        targets=targets,
        alpha=job.statistics.alpha,
        seed=job.statistics.seed,
        describing=(*describing, *(task.name for task in run_plan.tasks if only_describes(task))),
        average=suite.average if suite else None,
        references=tuple(reference.name for reference in run_plan.references),
        until_decided=job.statistics.until_decided,
    )
    units = gate_units(facts, plan)  # raises where a gate unit cannot be pooled
    check_margins(facts, plan, margins.keys())
    by_name = [UnitNames.of(unit) for unit in units]
    unit_rules(policy_for_units(job.policy, by_name, names, lambda name: is_known(name, job.tasks.include)), by_name)
    return plan


def notices_before(run_plan: RunPlan, plan: ComparePlan, prepared: Sequence[PreparedTask]) -> tuple[str, ...]:
    """List the notices that come before the answers: variants, candidates whose target task (trained on) is unknown,
    averages that will not be computed, references that ROUGE cannot read.
    """
    own, beside = (sum(len(task.requests) for task in prepared if task.task.beside is which) for which in (False, True))
    variants = [f"other ways of asking: {beside:,} more requests a model, beside the {own:,} of the tasks themselves"]
    blind = filter(None, map(_without_words, prepared))
    targets = [_target_unknown(name) for name in plan.candidates if name not in plan.targets]
    return (
        *run_plan.notices,
        *targets,
        *(variants if beside else ()),
        *average_notices(plan, facts_before(prepared)),
        *blind,
    )


def _target_unknown(candidate: str) -> str:
    return (
        f"{candidate}: the task it was trained for is not known, so that a gain on that task counts in the suite, and "
        f"the gate is at best undecided; name it with --target TASK, or say --target {NO_TARGET}: none of these tasks"
    )


def _without_words(prepared: PreparedTask) -> str:
    """Return a notice for a task with ROUGE most of whose references score 0 for every answer, else ""."""
    examples = prepared.examples
    if not any(spec.name.startswith("rouge") for spec in prepared.task.metrics):
        return ""
    has_words = registry.find(WORDS, "rouge", "reader of words")
    without = sum(not any(map(has_words, example.references)) for example in examples)
    what = f"{without} of {len(examples)} have none of these in a reference and score 0, whatever is written"
    fix = "chrf counts the letters of every script"
    notice = f"{prepared.task.name}: ROUGE reads the letters a to z and digits only: {what}; {fix}"
    return notice if 2 * without > len(examples) else ""


def gather(job: Job, state: RunState, info: EngineInfo) -> MeasuredRun:
    """Gather the measurements of every model, with all that an analysis needs."""
    run_plan, plan, prompts, outcomes = state
    prepared = prompts.by_model[run_plan.base.name]
    facts = all_facts(run_plan.base.name, prompts, outcomes, run_plan.decoded_otherwise)
    of_tasks = [outcome for of_model in outcomes.values() for outcome in of_model]
    measurements = [measurement for outcome in of_tasks for measurement in outcome.measurements]
    worst = worst_cases(run_plan.computed, prepared, facts, measurements)
    every = (*facts, *worst.facts)
    base = _model_row(run_plan.base, plan) if isinstance(run_plan.base, Checkpoint) else run_plan.base.row
    others = (*run_plan.candidates, *run_plan.references)
    return MeasuredRun(
        plan=plan,
        facts=every,
        measurements=(*measurements, *worst.measurements),
        models=(base, *(_model_row(candidate, plan) for candidate in others)),
        signature=signature_of(job, run_plan, prompts, every, info),
        errors=tuple(error for outcome in of_tasks for error in outcome.errors),
        seen_units=overlapping_units(run_plan, prepared),
    )


def _share(checkpoint: Checkpoint) -> float | None:
    if checkpoint.trainable is None or not checkpoint.parameters:
        return None
    return checkpoint.trainable / checkpoint.parameters


def _model_row(checkpoint: Checkpoint, plan: ComparePlan) -> ModelRow:
    is_base = checkpoint.name == plan.base
    return ModelRow(
        name=checkpoint.name,
        kind=ModelKind.BASE if is_base else checkpoint.kind,
        fingerprint=checkpoint.fingerprint,
        base=None if is_base else plan.base,
        parameters=checkpoint.parameters,
        trainable=checkpoint.trainable,
        trainable_share=0.0 if is_base else _share(checkpoint),
        bytes=checkpoint.bytes,
        target_task=plan.targets.get(checkpoint.name, checkpoint.target_task),
        training={} if is_base else dict(checkpoint.training),
        soft_prompt=soft_prompt(checkpoint),
    )
