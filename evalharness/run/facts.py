"""Collect the facts about a run's tasks that a comparison needs, before and after the tasks are answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalharness.metrics.build import build, facts_of
from evalharness.records.measurements import TaskFacts, TaskOutcome
from evalharness.records.requests import PreparedTask
from evalharness.records.tasks import OutputType
from evalharness.run.prompts import Prompts

Outcomes = Mapping[str, Sequence[TaskOutcome]]  # by model, in the order of the run's tasks


def facts_before(prepared: Sequence[PreparedTask]) -> list[TaskFacts]:
    """Return the facts that are known before any answer."""
    return [_task_facts(task, {}) for task in prepared]


def all_facts(base: str, prompts: Prompts, outcomes: Outcomes, decoded: tuple[str, ...]) -> list[TaskFacts]:
    """Return the facts about every task, with what differs from model to model.

    `base`: the base's name. `decoded`: the models that write by other decoding rules than the base.
    """
    facts = []
    for i, others in enumerate(prompts.differing(base)):
        by_model = {model: prepared[i] for model, prepared in prompts.by_model.items()}
        cut = max(sum(example.truncated for example in task.examples) for task in by_model.values())
        fact = _task_facts(by_model[base], {model: of_tasks[i] for model, of_tasks in outcomes.items()})
        by_rules = decoded if prompts.by_model[base][i].task.output_type == OutputType.GENERATE_UNTIL else ()
        facts.append(replace(fact, truncated=cut, prompts=others, decoded=by_rules))
    return facts


def _task_facts(prepared: PreparedTask, outcomes: Mapping[str, TaskOutcome]) -> TaskFacts:
    """Return a task's facts; a variant that only describes has no deciding metric."""
    task = prepared.task
    units = Counter(example.unit for example in prepared.examples)
    return TaskFacts(
        name=task.name,
        family=task.family,
        version=task.version,
        primary="" if task.beside else task.primary,
        margin=task.margin,
        chance=prepared.chance,
        available=prepared.available,
        truncated=sum(example.truncated for example in prepared.examples),
        failed={model: len(outcome.errors) for model, outcome in outcomes.items() if outcome.errors},
        unparsed={model: outcome.unparsed for model, outcome in outcomes.items() if outcome.unparsed},
        data_digest=prepared.data_digest,
        prompts_digest=prepared.prompts_digest,
        metrics=tuple(facts_of(spec, build(spec), prepared.examples) for spec in task.metrics),
        planned=len(units),
        largest=max(units.values(), default=1),
        rounds={model: outcome.rounds for model, outcome in outcomes.items() if outcome.rounds is not None},
        partly=tuple(model for model, outcome in outcomes.items() if outcome.partly),
        variant=task.variant,
        repeated=prepared.repeated,
        left_out=len(prepared.left_out),
        human=None if task.beside else task.human,
        answers={model: outcome.answers for model, outcome in outcomes.items() if outcome.answers is not None},
    )
