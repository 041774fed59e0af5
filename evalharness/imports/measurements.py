"""Convert the logs of a base and its candidates into the facts and measurements that `compare` takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType

import numpy as np

from evalharness import fingerprint
from evalharness.errors import NotComparableError, UsageError
from evalharness.imports.logged import LoggedTask, ModelLog
from evalharness.imports.metrics import ComparableMetric, comparable_metrics
from evalharness.imports.samples import samples_of
from evalharness.imports.scales import Statements, check_names, without_chance
from evalharness.records.answers import AnswerCounts
from evalharness.records.measurements import Measurement, Sample, TaskFacts
from evalharness.records.tasks import Group, Task
from evalharness.tasks.answer_counts import count_answers
from evalharness.tasks.clusters import clusters
from evalharness.tasks.library import Library

MARGIN = 0.02  # of 0-1 scores, where no task file of ours says otherwise
ALIKE = "evaluate both with the same task version, data, shots, chat template and limit (tables: with the same columns)"


@dataclass(frozen=True, slots=True)
class ImportedLogs:
    """The measurements of other tools' logs.

    `unscaled` maps a task to its deciding metric if that is not on a 0-1 scale, so that a margin must be given.
    `samples` maps (task, model) to prompts and answers, if they are logged.
    """

    facts: tuple[TaskFacts, ...]
    measurements: tuple[Measurement, ...]
    groups: tuple[Group, ...]
    unscaled: Mapping[str, str]
    notices: tuple[str, ...]
    samples: Mapping[tuple[str, str], tuple[Sample, ...]]


def import_logs(
    base: ModelLog, candidates: Sequence[ModelLog], library: Library, statements: Statements = MappingProxyType({})
) -> ImportedLogs:
    """Import the tasks that all of the logs have. `statements` are the user's, about metrics and tasks.

    Raises NotComparableError if the logs have no task in common, if the models got different questions, or if they
    were not scored by the metric that decides.
    """
    logs = (base, *candidates)
    notices = [notice for log in logs for notice in log.notices]
    shared = _shared(logs, notices)
    check_names(base, statements)
    facts, measurements, unscaled, unknown = [], [], dict[str, str](), dict[str, str]()
    samples: dict[tuple[str, str], tuple[Sample, ...]] = {}
    task_names = set(library.names())
    for name in shared:
        tasks = {log.name: log.tasks[name] for log in logs}
        ours = library.task(name) if name in task_names else None
        metrics = comparable_metrics(name, logs, ours, statements, notices)
        if not metrics:
            notices.append(f"{name} is left out: no metric of it can be compared")
            continue
        primary = metrics[0].facts
        failed = _unpaired(name, base, candidates, primary.id, notices)
        units = _units(tasks.values())
        facts.append(_facts(tasks, metrics, failed, ours, units))
        measurements += [_measurement(model, task, each, units) for model, task in tasks.items() for each in metrics]
        samples |= {(name, model): samples_of(task, metrics[0], units) for model, task in tasks.items() if task.texts}
        if primary.high != 1.0 and ours is None:
            unscaled[name] = primary.id
        if facts[-1].chance is None and primary.low is not None and primary.high is not None:
            unknown[name] = primary.id
    if not facts:
        what = f"no task of the logs can be compared ({'; '.join(notices)})"
        raise NotComparableError("compare", what, "log other metrics")
    notices += without_chance(unknown)
    groups = _groups(base, facts, library)
    return ImportedLogs(tuple(facts), tuple(measurements), groups, unscaled, tuple(notices), samples)


def _shared(logs: Sequence[ModelLog], notices: list[str]) -> list[str]:
    """List the tasks that all logs have, in the base's order. Raises NotComparableError if there are none."""
    shared = [name for name in logs[0].tasks if all(name in log.tasks for log in logs)]
    if not shared:
        why = f" ({'; '.join(notices)})" if notices else ""
        raise NotComparableError("compare", f"the logs have no task in common{why}", "evaluate both on the same tasks")
    if unshared := sorted({name for log in logs for name in log.tasks} - set(shared)):
        notices.append(f"not in all of the logs, so left out: {', '.join(unshared)}")
    return shared


def _unpaired(
    name: str, base: ModelLog, candidates: Sequence[ModelLog], metric: str, notices: list[str]
) -> dict[str, int]:
    """Count the examples that failed, or that one model lacks.

    Raises NotComparableError if documents that models share were sent or judged in different ways.
    """
    before = _by_document(base.tasks[name], metric)
    lacks = {log.name: log.tasks[name].failed for log in (base, *candidates)}
    for log in candidates:
        after = _by_document(log.tasks[name], metric)
        both = before.keys() & after.keys()
        other = sum(
            not (before[document] <= after[document] or after[document] <= before[document]) for document in both
        )
        if not both or other:
            what = (
                f"{other} of {len(both)} shared documents of {name} were asked or judged otherwise"
                if both
                else f"no document of {name} in common"
            )
            raise NotComparableError(f"{log.name} and {base.name}", f"not the same prompts: {what}", ALIKE)
        here, there = (set().union(*keys.values()) for keys in (before, after))
        missing = {log.name: len(here - there), base.name: len(there - here)}
        notices += [
            f"{name}: {count} examples are not in the log of {model}, and left out of both"
            for model, count in missing.items()
            if count
        ]
        lacks = {model: max(count, missing.get(model, 0)) for model, count in lacks.items()}
    return {model: count for model, count in lacks.items() if count}


def _by_document(task: LoggedTask, metric: str) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for answer in task.answers[metric]:
        keys.setdefault(answer.document, set()).add(answer.key)
    return keys


def _units(tasks: Iterable[LoggedTask]) -> dict[str, str]:
    """Name the unit of every key that any model has: rows of one logged unit, and rows that repeat a question."""
    every = {answer.key: answer for task in tasks for answers in task.answers.values() for answer in answers}
    ordered = [every[key] for key in sorted(every)]
    links = [(("unit", each.unit), ("content", each.content or each.key)) for each in ordered]
    return {each.key: ordered[head].unit for each, head in zip(ordered, clusters(links), strict=True)}


def _measurement(model: str, task: LoggedTask, metric: ComparableMetric, unit_of: Mapping[str, str]) -> Measurement:
    answers = sorted(task.answers[metric.facts.id], key=attrgetter("key"))
    units: dict[str, int] = {}
    places = np.array([units.setdefault(unit_of[answer.key], len(units)) for answer in answers])
    of_answers = np.array([metric.rows(answer.value) for answer in answers], dtype=np.float64)
    summed = np.zeros((len(units), of_answers.shape[1]))
    np.add.at(summed, places, of_answers)
    return Measurement(
        task=task.name,
        metric=metric.facts.id,
        model=model,
        units=tuple(units),
        sizes=tuple(np.bincount(places).tolist()),
        rows=summed,
    )


def _facts(
    tasks: Mapping[str, LoggedTask],
    metrics: Sequence[ComparableMetric],
    failed: Mapping[str, int],
    ours: Task | None,
    units: Mapping[str, str],
) -> TaskFacts:
    """Return the task's facts.

    They are from the log of the base, the first of `tasks`, and for the rest from `ours`, our task file of that name.
    """
    task, primary = next(iter(tasks.values())), metrics[0].facts.id
    counts = _answers(tasks, primary)
    answers = task.answers[primary]
    same_metric = ours is not None and ours.primary == primary
    return TaskFacts(
        name=task.name,
        family=ours.family if ours else "imported",
        version=task.version,
        primary=primary,
        margin=ours.margin if ours is not None and same_metric else MARGIN,
        chance=metrics[0].chance,
        available=len({units[answer.key] for answer in answers}),
        truncated=0,
        failed=failed,
        unparsed={model: each.unreadable for model, each in counts.items() if each.unreadable},
        data_digest=fingerprint.of_value(sorted(answer.document for answer in answers)),
        prompts_digest=fingerprint.of_value(sorted(answer.key for answer in answers)),
        metrics=tuple(metric.facts for metric in metrics),
        repeated=len(answers) - len({answer.content or answer.key for answer in answers}),
        answers=counts,
    )


def _answers(tasks: Mapping[str, LoggedTask], metric: str) -> dict[str, AnswerCounts]:
    """Count each model's answers as the deciding metric extracted them, if they are logged."""
    pipe = metric.partition(",")[2] or "none"
    counts = {model: count_answers(task.read.get(pipe, ())) for model, task in tasks.items()}
    return {model: each for model, each in counts.items() if each is not None}


def _groups(base: ModelLog, facts: Sequence[TaskFacts], library: Library) -> tuple[Group, ...]:
    """Return our groups with at least two tasks here, then the log's.

    Ours are gate units (judged as a whole) if their files say so; the log's only describe.
    """
    primaries = {fact.name: fact.primary for fact in facts}
    groups = {}
    for name in library.groups():
        if len(members := [task for task in library.group(name).tasks if task in primaries]) > 1:
            groups[name] = replace(library.group(name), tasks=tuple(members))
    for name, tasks in base.groups.items():
        members = [task for task in tasks if task in primaries]
        if name not in groups and len(members) > 1 and len({primaries[task] for task in members}) == 1:
            groups[name] = Group(
                name=name,
                tasks=tuple(members),
                metric=primaries[members[0]],
                unit=False,
                margin=MARGIN,
                family="imported",
            )
    return tuple(groups.values())


def check_margins(imported: ImportedLogs, margins: Mapping[str, float]) -> None:
    """Raise UsageError for a task that needs a margin of its own and has none."""
    for name, metric in imported.unscaled.items():
        if name not in margins:
            fix = f"state the largest acceptable drop: --margin {name}=DELTA"
            raise UsageError("--margin", f"{metric} of {name} is not on a 0-1 scale", fix)
