"""A measured round to the same with a second one: where a candidate lost on a choice task, it and its base are asked there in other ways.

Asked are the twin that writes the answer, the same ranking once more for what else it tells (its answers are in the store), and every other
wording of the task file: of the rows that were asked of both, and of nobody who did not lose there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evalharness.compare.comparing import compare
from evalharness.compare.plan import ComparePlan
from evalharness.diagnose import lost
from evalharness.errors import UsageError
from evalharness.measure import Measured
from evalharness.metrics.base import build
from evalharness.pipeline.assemble import Contest
from evalharness.pipeline.baseline import Baseline
from evalharness.pipeline.baseline import measured as answered_before
from evalharness.pipeline.conclude import all_facts, planned
from evalharness.pipeline.describe import Described, explaining
from evalharness.pipeline.prompts import Prompts, make_prompts
from evalharness.pipeline.seat import turns
from evalharness.pipeline.session import Desk, Session, part_of
from evalharness.pipeline.watch import tell
from evalharness.readers.grouping import grouped
from evalharness.readers.sources import read_rows
from evalharness.records.asking import Prepared
from evalharness.records.findings import Comparison
from evalharness.records.job import Job
from evalharness.records.measured import TaskFacts
from evalharness.records.tasks import Task
from evalharness.tasks.variants import WRITTEN, Row, Unfit, written

OPTION = "--explain"
NOBODY = Measured((), (), (), 0)  # of whoever was not asked


class Round(NamedTuple):
    """What was asked of whom, how it will be compared, and what was measured: of every model as many tasks as the contest has, in its order."""

    contest: Contest
    plan: ComparePlan
    prompts: Prompts
    measured: Mapping[str, Sequence[Measured]]


def check_base(job: Job, contest: Contest) -> None:
    """Can the base be asked once more? Raises UsageError where an earlier run answered for it that did not write the answers."""
    if not (job.explain and isinstance(contest.base, Baseline)):
        return
    deaf = []
    for task in _choice_tasks(contest):
        try:
            twin = written(task, _rows(contest, contest.origin(task)))
        except Unfit:
            continue  # nobody can be asked
        if not _covers(contest.base, twin):
            deaf.append(task.name)
    if deaf:
        named = ", ".join(deaf[:3]) + (f" and {len(deaf) - 3} more" if len(deaf) > 3 else "")
        what = f"the base cannot be asked: its scores are an earlier run's ({contest.base.path}), which did not have it write its answers to {named}"
        raise UsageError(OPTION, what, "make that run again with --describe generation, give --base instead of --baseline, or leave it out")


def explained(first: Round, desk: Desk) -> Round:
    """Both rounds as one; the first where nothing was lost that could be asked again. Raises as `make_prompts` and `planned` do."""
    losers = _losers(first)
    asked = _asked(first.contest, {name for names in losers.values() for name in names})
    tell(asked.notices, desk.watcher, desk.ledger)
    if not asked.tasks:
        return first
    contest = replace(first.contest, tasks=asked.tasks, asides=asked.asides, origins=asked.origins)
    desk.watcher.phase("making prompts to explain what was lost")
    prompts = make_prompts(desk.job, contest, desk.seat.factory)
    whom = {model: _whose(contest, names) for model, names in losers.items()}
    cut = _on_rows_of(first, prompts, contest, whom)
    if isinstance(contest.base, Baseline):  # which was asked about all rows
        cut = replace(cut, by_model={**cut.by_model, contest.base.name: prompts.by_model[contest.base.name]})
    prompts, whom[first.contest.base.name] = cut, frozenset(task.name for task in asked.tasks)
    return _both(first, contest, asked, prompts, _measured(contest, prompts, whom, desk), desk.job)


# ---- what was lost, and how it is asked again --------------------------------------------------------------------------


def _losers(found: Round) -> dict[str, frozenset[str]]:
    """Candidate to the choice tasks on which it lost, alone or as members of a group that is one gate unit. Only what decides is compared."""
    contest, plan = found.contest, found.plan
    named = {group.metric for group in contest.groups}
    facts = [_deciding(fact, named) for fact in all_facts(contest, found.prompts, found.measured) if fact.name not in contest.asides]
    measurements = [m for of_model in found.measured.values() for of_task in of_model for m in of_task.measurements]
    groups = tuple(replace(group, also=()) for group in plan.groups if group.name not in contest.asides)
    units = compare(facts, measurements, replace(plan, groups=groups, references=()))
    able = {task.name for task in _choice_tasks(contest)}
    members = {group.name: frozenset(group.tasks) for group in groups}
    names: dict[str, frozenset[str]] = {}
    for unit in units:
        if _regressed(unit):
            of_unit = members[unit.task] if unit.level == "group" else frozenset([unit.task])
            names[unit.candidate] = names.get(unit.candidate, frozenset()) | (of_unit & able)
    return {candidate: tasks for candidate, tasks in names.items() if tasks}


def _regressed(unit: Comparison) -> bool:
    return unit.unit and unit.primary and unit.level in ("task", "group") and lost(unit)


def _deciding(fact: TaskFacts, named: set[str]) -> TaskFacts:
    """A task's facts with no more metrics than decide it or a group of it."""
    return replace(fact, metrics=tuple(metric for metric in fact.metrics if metric.id == fact.primary or metric.id in named))


def _choice_tasks(contest: Contest) -> list[Task]:
    return [task for task in contest.tasks if task.output_type == "multiple_choice" and task.name not in contest.asides]


def _asked(contest: Contest, names: set[str]) -> Described:
    """The other ways of asking these tasks that the run has not asked already, and that an earlier run's base was asked."""
    tasks = [task for task in contest.tasks if task.name in names]
    asked = explaining(tasks, contest.groups, contest.origins, lambda origin: _rows(contest, origin))
    base = contest.base
    new = tuple(task for task in asked.tasks if task.name not in contest.asides and (not isinstance(base, Baseline) or _covers(base, task)))
    kept = {task.name for task in new}
    groups = tuple(group for group in asked.groups if group.name not in contest.asides and kept >= set(group.tasks))
    asides = {name: aside for name, aside in asked.asides.items() if name in kept or name in {group.name for group in groups}}
    return replace(asked, tasks=new, groups=groups, asides=asides)


def _rows(contest: Contest, origin: Task) -> Sequence[Row]:
    return grouped(read_rows(origin, contest.split or origin.evaluation_split, contest.source), origin).rows


def _covers(base: Baseline, task: Task) -> bool:
    """Was an earlier run's base asked this, and scored by all of its metrics as they are now?"""
    if task.name not in base.facts or base.definitions[task.name] != task.digest:
        return False
    scored = {metric.id: metric.signature for metric in base.facts[task.name].metrics}
    return all(scored.get(spec.id) == build(spec).signature for spec in task.metrics)


def _on_rows_of(first: Round, prompts: Prompts, contest: Contest, whom: Mapping[str, frozenset[str]]) -> Prompts:
    """The prompts about those rows that a candidate and its base were asked in the first round: it may have been stopped before the end of a task.

    The base is asked about the rows of all who are; who else is in the run does not matter to a candidate.
    """
    place, base = {task.name: i for i, task in enumerate(first.contest.tasks)}, first.contest.base.name

    def rows_of(model: str, task: str) -> set[str]:
        return {_index(sample.id) for sample in first.measured[model][place[contest.asides[task].of]].samples}

    def cut(model: str, task: Prepared) -> Prepared:
        name = task.task.name
        asking = [other for other in prompts.by_model if other != base and name in whom.get(other, ())] if model == base else [model]
        return _only(task, set().union(*(rows_of(other, name) for other in asking)))

    return replace(prompts, by_model={model: tuple(cut(model, task) for task in made) for model, made in prompts.by_model.items()})


def _only(task: Prepared, rows: set[str]) -> Prepared:
    kept = [i for i, example in enumerate(task.examples) if _index(example.id) in rows]
    return part_of(task, kept, [each for each in task.failures if _index(each[0]) in rows])


def _index(example: str) -> str:
    """The row's place in the data, which every way of asking shares."""
    return example.partition("-")[0]


def _whose(contest: Contest, names: frozenset[str]) -> frozenset[str]:
    """The new tasks that ask about these."""
    return frozenset(task.name for task in contest.tasks if contest.asides[task.name].of in names)


# ---- asking, and putting the rounds together ---------------------------------------------------------------------------


def _measured(contest: Contest, prompts: Prompts, whom: Mapping[str, frozenset[str]], desk: Desk) -> dict[str, list[Measured]]:
    """What was measured of whom, in the order of the new tasks."""
    found: dict[str, list[Measured]] = {}
    if isinstance(contest.base, Baseline):
        found[contest.base.name] = answered_before(contest.base, prompts.by_model[contest.base.name], desk.info)
    wanted = {model: [task for task in made if task.task.name in whom.get(model, ())] for model, made in prompts.by_model.items()}
    to_ask = [checkpoint for checkpoint in turns(contest)[1] if wanted[checkpoint.name]]
    asked = [(task.task.name, len(task.requests)) for checkpoint in to_ask for task in wanted[checkpoint.name]]
    new = sum(requests for name, requests in asked if contest.asides[name].kind != "chosen")
    tell([_told(contest, [checkpoint.name for checkpoint in to_ask], new)], desk.watcher, desk.ledger)
    desk.watcher.expect(sum(requests for _, requests in asked))
    for checkpoint in to_ask:
        answered = dict(
            zip((task.task.name for task in wanted[checkpoint.name]), Session(desk, checkpoint).measure(wanted[checkpoint.name]), strict=True)
        )
        beside = zip(contest.tasks, prompts.by_model[checkpoint.name], prompts.by_model[contest.base.name], strict=True)
        found[checkpoint.name] = [
            replace(answered.get(task.name, NOBODY), partly=len(own.examples) < len(bases.examples)) for task, own, bases in beside
        ]
    return {model: found.get(model, [NOBODY] * len(contest.tasks)) for model in prompts.by_model}


def _told(contest: Contest, models: Sequence[str], requests: int) -> str:
    tasks = ", ".join(dict.fromkeys(contest.asides[task.name].of for task in contest.tasks if task.name.endswith(f"@{WRITTEN}")))
    return f"to explain what was lost, {', '.join(models)} asked in other ways about {tasks}: {requests:,} more requests in all"


def _both(first: Round, contest: Contest, asked: Described, prompts: Prompts, measured: Mapping[str, Sequence[Measured]], job: Job) -> Round:
    """The first round's tasks, then the second's."""
    whole = replace(
        first.contest,
        tasks=(*first.contest.tasks, *contest.tasks),
        groups=(*first.contest.groups, *asked.groups),
        asides={**first.contest.asides, **asked.asides},
        origins=asked.origins,
    )
    by_model = {model: (*made, *prompts.by_model[model]) for model, made in first.prompts.by_model.items()}
    both = {model: [*first.measured[model], *measured[model]] for model in by_model}
    joined = replace(first.prompts, by_model=by_model)
    return Round(whole, planned(job, whole, by_model[whole.base.name]), joined, both)
