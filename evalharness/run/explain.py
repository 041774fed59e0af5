"""A measured round to the same with a second one: where a candidate lost on a choice task, it and its base are asked
there in other ways.

Asked are the twin that writes the answer, the same ranking once more for what else it tells (its answers are in the
store), and every other wording of the task file: of the rows that were asked of both, and of nobody who did not lose
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evalharness.analysis.baseline import Baseline
from evalharness.analysis.baseline import measured as answered_before
from evalharness.analysis.compare_plan import ComparePlan
from evalharness.analysis.comparison import compare
from evalharness.analysis.diagnosis import lost
from evalharness.data.files import DataRow
from evalharness.data.grouping import grouped
from evalharness.data.sources import read_rows
from evalharness.errors import UsageError
from evalharness.metrics.base import build
from evalharness.records.comparison import Comparison, Level
from evalharness.records.job import Job
from evalharness.records.measurements import TaskFacts, TaskOutcome
from evalharness.records.requests import PreparedTask
from evalharness.records.tasks import OutputType, Task
from evalharness.run.conclude import all_facts, planned
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts, make_prompts
from evalharness.run.run_log import tell
from evalharness.run.session import RunContext, Session, part_of, turns
from evalharness.run.variants import Described, explaining
from evalharness.tasks.variants import WRITTEN, Unfit, written

OPTION = "--explain"
NOBODY = TaskOutcome((), (), (), 0)  # of whoever was not asked


class RunState(NamedTuple):
    """What was asked of whom, how it will be compared, and what was measured: of every model as many tasks as the
    run_plan has, in its order.
    """

    run_plan: RunPlan
    plan: ComparePlan
    prompts: Prompts
    measured: Mapping[str, Sequence[TaskOutcome]]


def check_base(job: Job, run_plan: RunPlan) -> None:
    """Can the base be asked once more? Raises UsageError where an earlier run answered for it that did not write the
    answers.
    """
    if not (job.explain and isinstance(run_plan.base, Baseline)):
        return
    deaf = []
    for task in _choice_tasks(run_plan):
        try:
            twin = written(task, _rows(run_plan, run_plan.origin(task)))
        except Unfit:
            continue  # nobody can be asked
        if not _covers(run_plan.base, twin):
            deaf.append(task.name)
    if deaf:
        named = ", ".join(deaf[:3]) + (f" and {len(deaf) - 3} more" if len(deaf) > 3 else "")
        what = f"the base cannot be asked: its scores are an earlier run's ({run_plan.base.path}), which did not have it write its answers to {named}"
        raise UsageError(
            OPTION,
            what,
            "make that run again with --describe generation, give --base instead of --baseline, or leave it out",
        )


def explained(first: RunState, context: RunContext) -> RunState:
    """Both rounds as one; the first where nothing was lost that could be asked again. Raises as `make_prompts` and
    `planned` do.
    """
    losers = _losers(first)
    asked = _asked(first.run_plan, {name for names in losers.values() for name in names})
    tell(asked.notices, context.listener, context.run_log)
    if not asked.tasks:
        return first
    run_plan = replace(first.run_plan, tasks=asked.tasks, asides=asked.asides, origins=asked.origins)
    context.listener.phase("making prompts to explain what was lost")
    prompts = make_prompts(context.job, run_plan, context.slot.factory)
    whom = {model: _whose(run_plan, names) for model, names in losers.items()}
    cut = _on_rows_of(first, prompts, run_plan, whom)
    if isinstance(run_plan.base, Baseline):  # which was asked about all rows
        cut = replace(cut, by_model={**cut.by_model, run_plan.base.name: prompts.by_model[run_plan.base.name]})
    prompts, whom[first.run_plan.base.name] = cut, frozenset(task.name for task in asked.tasks)
    return _both(first, run_plan, asked, prompts, _measured(run_plan, prompts, whom, context), context.job)


# ---- what was lost, and how it is asked again ------------------------------------------------------------------------


def _losers(found: RunState) -> dict[str, frozenset[str]]:
    """Candidate to the choice tasks on which it lost, alone or as members of a group that is one gate unit. Only what
    decides is compared.
    """
    run_plan, plan = found.run_plan, found.plan
    named = {group.metric for group in run_plan.groups}
    facts = [
        _deciding(fact, named)
        for fact in all_facts(run_plan, found.prompts, found.measured)
        if fact.name not in run_plan.asides
    ]
    measurements = [m for of_model in found.measured.values() for of_task in of_model for m in of_task.measurements]
    groups = tuple(replace(group, also=()) for group in plan.groups if group.name not in run_plan.asides)
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


def _deciding(fact: TaskFacts, named: set[str]) -> TaskFacts:
    """A task's facts with no more metrics than decide it or a group of it."""
    return replace(
        fact, metrics=tuple(metric for metric in fact.metrics if metric.id == fact.primary or metric.id in named)
    )


def _choice_tasks(run_plan: RunPlan) -> list[Task]:
    return [
        task
        for task in run_plan.tasks
        if task.output_type == OutputType.MULTIPLE_CHOICE and task.name not in run_plan.asides
    ]


def _asked(run_plan: RunPlan, names: set[str]) -> Described:
    """The other ways of asking these tasks that the run has not asked already, and that an earlier run's base was
    asked.
    """
    tasks = [task for task in run_plan.tasks if task.name in names]
    asked = explaining(tasks, run_plan.groups, run_plan.origins, lambda origin: _rows(run_plan, origin))
    base = run_plan.base
    new = tuple(
        task
        for task in asked.tasks
        if task.name not in run_plan.asides and (not isinstance(base, Baseline) or _covers(base, task))
    )
    kept = {task.name for task in new}
    groups = tuple(group for group in asked.groups if group.name not in run_plan.asides and kept >= set(group.tasks))
    asides = {
        name: aside for name, aside in asked.asides.items() if name in kept or name in {group.name for group in groups}
    }
    return replace(asked, tasks=new, groups=groups, asides=asides)


def _rows(run_plan: RunPlan, origin: Task) -> Sequence[DataRow]:
    return grouped(read_rows(origin, run_plan.split or origin.evaluation_split, run_plan.source), origin).rows


def _covers(base: Baseline, task: Task) -> bool:
    """Was an earlier run's base asked this, and scored by all of its metrics as they are now?"""
    if task.name not in base.facts or base.definitions[task.name] != task.digest:
        return False
    scored = {metric.id: metric.signature for metric in base.facts[task.name].metrics}
    return all(scored.get(spec.id) == build(spec).signature for spec in task.metrics)


def _on_rows_of(first: RunState, prompts: Prompts, run_plan: RunPlan, whom: Mapping[str, frozenset[str]]) -> Prompts:
    """The prompts about those rows that a candidate and its base were asked in the first round: it may have been
    stopped before the end of a task.

    The base is asked about the rows of all who are; who else is in the run does not matter to a candidate.
    """
    place, base = {task.name: i for i, task in enumerate(first.run_plan.tasks)}, first.run_plan.base.name

    def rows_of(model: str, task: str) -> set[str]:
        return {_index(sample.id) for sample in first.measured[model][place[run_plan.asides[task].of]].samples}

    def cut(model: str, task: PreparedTask) -> PreparedTask:
        name = task.task.name
        asking = (
            [other for other in prompts.by_model if other != base and name in whom.get(other, ())]
            if model == base
            else [model]
        )
        return _only(task, set().union(*(rows_of(other, name) for other in asking)))

    return replace(
        prompts, by_model={model: tuple(cut(model, task) for task in made) for model, made in prompts.by_model.items()}
    )


def _only(task: PreparedTask, rows: set[str]) -> PreparedTask:
    kept = [i for i, example in enumerate(task.examples) if _index(example.id) in rows]
    return part_of(task, kept, [each for each in task.failures if _index(each[0]) in rows])


def _index(example: str) -> str:
    """The row's place in the data, which every way of asking shares."""
    return example.partition("-")[0]


def _whose(run_plan: RunPlan, names: frozenset[str]) -> frozenset[str]:
    """The new tasks that ask about these."""
    return frozenset(task.name for task in run_plan.tasks if run_plan.asides[task.name].of in names)


# ---- asking, and putting the rounds together -------------------------------------------------------------------------


def _measured(
    run_plan: RunPlan, prompts: Prompts, whom: Mapping[str, frozenset[str]], context: RunContext
) -> dict[str, list[TaskOutcome]]:
    """What was measured of whom, in the order of the new tasks."""
    found: dict[str, list[TaskOutcome]] = {}
    if isinstance(run_plan.base, Baseline):
        found[run_plan.base.name] = answered_before(run_plan.base, prompts.by_model[run_plan.base.name], context.info)
    wanted = {
        model: [task for task in made if task.task.name in whom.get(model, ())]
        for model, made in prompts.by_model.items()
    }
    to_ask = [checkpoint for checkpoint in turns(run_plan)[1] if wanted[checkpoint.name]]
    asked = [(task.task.name, len(task.requests)) for checkpoint in to_ask for task in wanted[checkpoint.name]]
    new = sum(requests for name, requests in asked if run_plan.asides[name].kind != "chosen")
    tell([_told(run_plan, [checkpoint.name for checkpoint in to_ask], new)], context.listener, context.run_log)
    context.listener.expect(sum(requests for _, requests in asked))
    for checkpoint in to_ask:
        answered = dict(
            zip(
                (task.task.name for task in wanted[checkpoint.name]),
                Session(context, checkpoint).measure(wanted[checkpoint.name]),
                strict=True,
            )
        )
        beside = zip(
            run_plan.tasks, prompts.by_model[checkpoint.name], prompts.by_model[run_plan.base.name], strict=True
        )
        found[checkpoint.name] = [
            replace(answered.get(task.name, NOBODY), partly=len(own.examples) < len(bases.examples))
            for task, own, bases in beside
        ]
    return {model: found.get(model, [NOBODY] * len(run_plan.tasks)) for model in prompts.by_model}


def _told(run_plan: RunPlan, models: Sequence[str], requests: int) -> str:
    tasks = ", ".join(
        dict.fromkeys(run_plan.asides[task.name].of for task in run_plan.tasks if task.name.endswith(f"@{WRITTEN}"))
    )
    return f"to explain what was lost, {', '.join(models)} asked in other ways about {tasks}: {requests:,} more requests in all"


def _both(
    first: RunState,
    run_plan: RunPlan,
    asked: Described,
    prompts: Prompts,
    measured: Mapping[str, Sequence[TaskOutcome]],
    job: Job,
) -> RunState:
    """The first round's tasks, then the second's."""
    whole = replace(
        first.run_plan,
        tasks=(*first.run_plan.tasks, *run_plan.tasks),
        groups=(*first.run_plan.groups, *asked.groups),
        asides={**first.run_plan.asides, **asked.asides},
        origins=asked.origins,
    )
    by_model = {model: (*made, *prompts.by_model[model]) for model, made in first.prompts.by_model.items()}
    both = {model: [*first.measured[model], *measured[model]] for model in by_model}
    joined = replace(first.prompts, by_model=by_model)
    return RunState(whole, planned(job, whole, by_model[whole.base.name]), joined, both)
