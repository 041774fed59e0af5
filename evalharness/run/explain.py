"""Explain losses: ask a candidate and its base in other ways about the multiple-choice tasks on which it lost.

The other ways are: the written twin (the same questions, the answer to be written), the same ranking scored by more
metrics (its answers are in the store), and every other prompt template of the task file. Only rows that both models
were asked before are asked again, and only of candidates that lost on the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalharness import fingerprint
from evalharness.analysis.baseline import Baseline
from evalharness.analysis.baseline import baseline_outcomes as answered_before
from evalharness.analysis.comparison import compare
from evalharness.analysis.diagnosis_rule import lost
from evalharness.errors import UsageError, some_of
from evalharness.metrics.build import build
from evalharness.records.comparison import Comparison, Level
from evalharness.records.job import Job
from evalharness.records.measurements import TaskFacts, TaskOutcome
from evalharness.records.requests import PreparedTask, row_of
from evalharness.records.tasks import OutputType, Task, VariantKind
from evalharness.run.facts import all_facts
from evalharness.run.measured_run import RunState, compare_plan
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts, make_prompts
from evalharness.run.run_log import tell
from evalharness.run.session import RunContext, Session, part_of, turns
from evalharness.run.spread import answer_ahead
from evalharness.run.variants import TaskChoice, choose_to_explain
from evalharness.tasks.variants import VariantProblem, written_twin

OPTION = "--explain"
NOT_ASKED = TaskOutcome(measurements=(), samples=(), errors=(), unparsed=0)  # of a model that was not asked


def check_base(job: Job, run_plan: RunPlan) -> None:
    """Check that the base can be asked again. Raises UsageError if its scores are an earlier run's, in which it did not
    write its answers.
    """
    if not (job.description.explain and isinstance(run_plan.base, Baseline)):
        return
    missing = []
    for task in _choice_tasks(run_plan):
        try:
            twin = written_twin(task, run_plan.rows_of(task))
        except VariantProblem:
            continue  # no model can be asked
        if not _covers(run_plan.base, twin):
            missing.append(task.name)
    if missing:
        which = (
            f"an earlier run's ({run_plan.base.path}), which did not have it write its answers to {some_of(missing, 3)}"
        )
        fix = "make that run again with --describe generation, give --base instead of --baseline, or leave it out"
        raise UsageError(OPTION, f"the base cannot be asked: its scores are {which}", fix)


def with_explanation(first: RunState, context: RunContext) -> RunState:
    """Ask again about losses, and join both rounds; if no loss can be asked about again, return the first round. Raises
    as `make_prompts` and `compare_plan` do.
    """
    losers = _losers(first)
    choice = _choose(first.run_plan, {name for names in losers.values() for name in names})
    tell(choice.notices, context.listener, context.run_log)
    if not choice.tasks:
        return first
    run_plan = replace(first.run_plan, tasks=choice.tasks, groups=choice.groups, computed={})
    context.listener.phase("making prompts to explain what was lost")
    prompts = make_prompts(context.job, run_plan, context.slot.factory)
    whom = {model: _tasks_about(run_plan, names) for model, names in losers.items()}
    cut = _on_rows_of(first, prompts, run_plan, whom)
    if isinstance(run_plan.base, Baseline):  # it was asked about all rows
        cut = replace(cut, by_model={**cut.by_model, run_plan.base.name: prompts.by_model[run_plan.base.name]})
    prompts, whom[first.run_plan.base.name] = cut, frozenset(task.name for task in choice.tasks)
    new = RunState(run_plan, first.plan, prompts, _outcomes(run_plan, prompts, whom, context))
    return _joined(first, new, context.job)


# ---- what was lost, and how it is asked again ------------------------------------------------------------------------


def _losers(state: RunState) -> dict[str, frozenset[str]]:
    """Find the multiple-choice tasks on which each candidate lost, alone or within a group that is one gate unit (the
    gate judges the group as a whole). Only the metrics that decide verdicts are compared.
    """
    run_plan, plan = state.run_plan, state.plan
    of_groups = {group.metric for group in run_plan.groups}
    facts = [
        _deciding(fact, of_groups)
        for fact, task in zip(all_facts(plan.base, state.prompts, state.outcomes, ()), run_plan.tasks, strict=True)
        if not task.beside
    ]
    measurements = [m for of_model in state.outcomes.values() for outcome in of_model for m in outcome.measurements]
    groups = tuple(replace(group, also=()) for group in plan.groups if not group.beside)
    units = compare(facts, measurements, replace(plan, groups=groups, references=()))
    able = {task.name for task in _choice_tasks(run_plan)}
    members = {group.name: frozenset(group.tasks) for group in groups}
    names: dict[str, frozenset[str]] = {}
    for unit in units:
        if _regressed(unit):
            of_unit = members[unit.task] if unit.level == Level.GROUP else frozenset([unit.task])
            names[unit.candidate] = names.get(unit.candidate, frozenset()) | (of_unit & able)
    return {candidate: tasks for candidate, tasks in names.items() if tasks}


def _regressed(unit: Comparison) -> bool:
    return unit.unit and unit.primary and unit.level in (Level.TASK, Level.GROUP) and lost(unit)


def _deciding(fact: TaskFacts, of_groups: set[str]) -> TaskFacts:
    """Keep only the metrics that decide a task or a group of it."""
    return replace(
        fact, metrics=tuple(metric for metric in fact.metrics if metric.id == fact.primary or metric.id in of_groups)
    )


def _choice_tasks(run_plan: RunPlan) -> list[Task]:
    return [task for task in run_plan.judged_tasks if task.output_type == OutputType.MULTIPLE_CHOICE]


def _choose(run_plan: RunPlan, names: set[str]) -> TaskChoice:
    """Choose the variants of these tasks that the run has not asked yet, and that an earlier run's base answered."""
    base, names_in_run = run_plan.base, {each.name for each in run_plan.tasks_and_groups}
    tasks = [task for task in run_plan.tasks if task.name in names]
    choice = choose_to_explain(tasks, run_plan.groups, run_plan.rows_of)
    new = [task for task in choice.tasks if task.name not in names_in_run]
    new = [task for task in new if not isinstance(base, Baseline) or _covers(base, task)]
    new_names = {task.name for task in new}
    groups = [group for group in choice.groups if group.name not in names_in_run and new_names >= set(group.tasks)]
    return replace(choice, tasks=tuple(new), groups=tuple(groups))


def _covers(base: Baseline, task: Task) -> bool:
    """Return whether an earlier run's base was asked this task, and scored by all metrics as they are now."""
    before = base.tasks.get(task.name)
    if before is None or not fingerprint.agree(before.definition, task.digest):
        return False
    return all(before.metrics.get(spec.id) == build(spec).signature for spec in task.metrics)


def _on_rows_of(first: RunState, prompts: Prompts, run_plan: RunPlan, whom: Mapping[str, frozenset[str]]) -> Prompts:
    """Reduce the prompts to the rows that a candidate and its base were asked in the first round, which may have
    stopped before the end of a task. The base is asked about the rows of all candidates.
    """
    place, base = {task.name: i for i, task in enumerate(first.run_plan.tasks)}, first.run_plan.base.name
    of = {task.name: task.variant.of for task in run_plan.tasks if task.variant}

    def rows_of(model: str, task: str) -> set[int]:
        return {row_of(sample.id) for sample in first.outcomes[model][place[of[task]]].samples}

    def cut(model: str, task: PreparedTask) -> PreparedTask:
        name = task.task.name
        asking = (
            [other for other in prompts.by_model if other != base and name in whom.get(other, ())]
            if model == base
            else [model]
        )
        return _only(task, set().union(*(rows_of(other, name) for other in asking)))

    return replace(
        prompts,
        by_model={model: tuple(cut(model, task) for task in tasks) for model, tasks in prompts.by_model.items()},
    )


def _only(task: PreparedTask, rows: set[int]) -> PreparedTask:
    indices = [i for i, example in enumerate(task.examples) if row_of(example.id) in rows]
    return part_of(task, indices, [each for each in task.failures if row_of(each[0]) in rows])


def _tasks_about(run_plan: RunPlan, names: frozenset[str]) -> frozenset[str]:
    """Name the new tasks that are variants of these."""
    return frozenset(task.name for task in run_plan.tasks if task.variant and task.variant.of in names)


# ---- asking, and putting the rounds together -------------------------------------------------------------------------


def _outcomes(
    run_plan: RunPlan, prompts: Prompts, whom: Mapping[str, frozenset[str]], context: RunContext
) -> dict[str, list[TaskOutcome]]:
    """Measure every model on its new tasks, in their order."""
    outcomes: dict[str, list[TaskOutcome]] = {}
    base = prompts.by_model[run_plan.base.name]
    if isinstance(run_plan.base, Baseline):
        outcomes[run_plan.base.name] = answered_before(
            run_plan.base, base, context.info, context.job.models.allow_mixed_engines
        )
    tasks_of = {
        model: [task for task in prepared if task.task.name in whom.get(model, ())]
        for model, prepared in prompts.by_model.items()
    }
    to_ask = [checkpoint for checkpoint in turns(run_plan)[1] if tasks_of[checkpoint.name]]
    to_answer = [task for checkpoint in to_ask for task in tasks_of[checkpoint.name]]
    tell(
        [_announcement(run_plan, [checkpoint.name for checkpoint in to_ask], to_answer)],
        context.listener,
        context.run_log,
    )
    context.listener.expect(sum(len(task.requests) for task in to_answer))
    answer_ahead(context, [(checkpoint, tasks_of[checkpoint.name]) for checkpoint in to_ask])
    for checkpoint in to_ask:
        tasks = tasks_of[checkpoint.name]
        by_task = dict(zip((t.task.name for t in tasks), Session(context, checkpoint).measure(tasks), strict=True))
        outcomes[checkpoint.name] = [
            replace(by_task.get(own.task.name, NOT_ASKED), partly=len(own.examples) < len(of_base.examples))
            for own, of_base in zip(prompts.by_model[checkpoint.name], base, strict=True)
        ]
    return {model: outcomes.get(model, [NOT_ASKED] * len(run_plan.tasks)) for model in prompts.by_model}


def _announcement(run_plan: RunPlan, models: Sequence[str], prepared: Sequence[PreparedTask]) -> str:
    variants = [task.variant for task in run_plan.tasks if task.variant]
    tasks = dict.fromkeys(variant.of for variant in variants if variant.kind is VariantKind.WRITTEN)
    stored = (VariantKind.CHOSEN,)  # whose answers are in the store
    new = sum(len(of.requests) for of in prepared if of.task.variant and of.task.variant.kind not in stored)
    what = f"{', '.join(models)} asked in other ways about {', '.join(tasks)}"
    return f"to explain what was lost, {what}: {new:,} more requests in all"


def _joined(first: RunState, new: RunState, job: Job) -> RunState:
    """Join the first round's tasks and the second's."""
    groups = (*first.run_plan.groups, *new.run_plan.groups)
    whole = replace(first.run_plan, tasks=(*first.run_plan.tasks, *new.run_plan.tasks), groups=groups)
    by_model = {model: (*tasks, *new.prompts.by_model[model]) for model, tasks in first.prompts.by_model.items()}
    both = {model: [*first.outcomes[model], *new.outcomes[model]] for model in by_model}
    plan = compare_plan(job, whole, by_model[whole.base.name])
    return RunState(whole, plan, replace(first.prompts, by_model=by_model), both)
