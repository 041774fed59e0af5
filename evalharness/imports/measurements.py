"""Logs of a base and of candidates to facts and measurements that `compare` takes: metrics recognised, examples paired,
omissions told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np

from evalharness import fingerprint, registry
from evalharness.errors import NotComparableError, UsageError
from evalharness.imports.logged import Logged, LoggedTask
from evalharness.metrics import REGISTRY
from evalharness.metrics.base import build, facts_of
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.tasks import Group, MetricSpec, Task
from evalharness.stats.enums import MetricKind
from evalharness.tasks.library import Library

MARGIN = 0.02  # of 0-1 scores, where no task file of ours says otherwise
PER_PIECE = ("word_perplexity", "byte_perplexity", "bits_per_byte")
TEXTS = ("bleu", "chrf", "ter")
CLASSES = ("f1", "mcc")
LOWER_IS_BETTER = (
    *PER_PIECE, "perplexity", "ppl", "loss", "nll", "cross_entropy", "ter", "wer", "cer", "mer", "brier", "brier_score", "ece", "mae", "mse", "rmse",
    "error", "error_rate", "toxicity", "unparsed",
)  # fmt: skip
ANYHOW = ("score", "accuracy", "correct", "em", "f1", "rougeLsum")  # better the more, by their names

Rows = Callable[[Any], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Imported:
    """What `compare` needs. `unscaled`: tasks whose deciding metric is not on a 0-1 scale, so that a margin must be
    given.
    """

    facts: tuple[TaskFacts, ...]
    measurements: tuple[Measurement, ...]
    groups: tuple[Group, ...]
    unscaled: Mapping[str, str]
    notices: tuple[str, ...]


def imported(base: Logged, candidates: Sequence[Logged], library: Library, lower: Collection[str] = ()) -> Imported:
    """The tasks that all of them have. `lower`: metrics that are better the less there is of them.

    Raises NotComparableError where they have none in common, were not asked the same, or were not scored by the metric
    that decides.
    """
    logs = (base, *candidates)
    shared = [name for name in base.tasks if all(name in log.tasks for log in candidates)]
    notices = [notice for log in logs for notice in log.notices]
    if not shared:
        why = f" ({'; '.join(notices)})" if notices else ""
        raise NotComparableError("compare", f"the logs have no task in common{why}", "evaluate both on the same tasks")
    left = sorted({name for log in logs for name in log.tasks} - set(shared))
    notices += [f"not in all of the logs, so left out: {', '.join(left)}"] if left else []
    facts, measurements, unscaled = [], [], {}
    known = set(library.names())
    for name in shared:
        tasks = {log.name: log.tasks[name] for log in logs}
        ours = library.task(name) if name in known else None
        metrics = _metrics(name, logs, ours.primary if ours else "", lower, notices)
        if not metrics:
            notices.append(f"{name} is left out: no metric of it can be compared")
            continue
        failed = _unpaired(name, base, candidates, metrics[0][0].id, notices)
        facts.append(_facts(tasks[base.name], [found for found, _ in metrics], failed, ours))
        measurements += [
            _measured(name, model, task, found, rows) for model, task in tasks.items() for found, rows in metrics
        ]
        if metrics[0][0].high != 1.0 and ours is None:
            unscaled[name] = metrics[0][0].id
    if not facts:
        raise NotComparableError(
            "compare", f"no task of the logs can be compared ({'; '.join(notices)})", "log other metrics"
        )
    return Imported(tuple(facts), tuple(measurements), _groups(base, facts, library), unscaled, tuple(notices))


# ---- metrics ---------------------------------------------------------------------------------------------------------


def _metrics(
    name: str, logs: Sequence[Logged], primary: str, lower: Collection[str], notices: list[str]
) -> list[tuple[MetricFacts, Rows]]:
    """Metrics that can be compared, the one that decides first: `primary` where the base has it, else the base's first
    that can be scored.

    Raises NotComparableError where a candidate lacks that one: another never decides in its place.
    """
    base, *others = [log.tasks[name] for log in logs]
    found: list[tuple[MetricFacts, Rows]] = []
    for metric in sorted(base.answers, key=lambda each: each != primary):
        own = _recognised(metric, [answer.value for answer in base.answers[metric]], True)
        if own is None:
            notices.append(
                f"{name}: {metric} is left out, its logged values ({_shown(base, metric)}) cannot be scored here"
            )
            continue
        lacking = [log.name for log, task in zip(logs[1:], others, strict=True) if metric not in task.answers]
        values = [answer.value for task in (base, *others) for answer in task.answers.get(metric, ())]
        recognised = None if lacking else _recognised(metric, values, _higher(name, metric, base, lower, notices))
        if recognised is None and not found:
            what = (
                f"{name} has no scores by {metric}, which decides"
                if lacking
                else f"the scores of {name} by {metric} are of several forms"
            )
            raise NotComparableError(
                ", ".join(lacking) or name, what, "evaluate both with the same task version, and log the samples again"
            )
        if recognised is None or any(
            _keys(task, metric) != _keys(task, found[0][0].id) for task in (base, *others) if found
        ):
            notices.append(f"{name}: {metric} is left out, not every model and example has a score by it")
        else:
            found.append(recognised)
    return found


def _keys(task: LoggedTask, metric: str) -> set[str]:
    return {answer.key for answer in task.answers[metric]}


def _shown(task: LoggedTask, metric: str) -> str:
    return str(task.answers[metric][0].value)[:40]


def _higher(name: str, metric: str, task: LoggedTask, lower: Collection[str], notices: list[str]) -> bool:
    """Is more better? As the user says, else the log, else what the metric is known for; else yes, with a note."""
    plain = metric.partition(",")[0]
    if metric in lower or plain in lower:
        return False
    if metric in task.higher:
        return task.higher[metric]
    if plain not in (*LOWER_IS_BETTER, *registry.names(REGISTRY, "metric"), *ANYHOW):
        notices.append(
            f"{name}: {metric} is taken to be better the more there is of it; if not: --lower-is-better {plain}"
        )
    return plain not in LOWER_IS_BETTER


def _recognised(metric: str, values: Sequence[Any], higher: bool) -> tuple[MetricFacts, Rows] | None:
    """What a metric is, by its logged values; None where they are of no form that is known."""
    name = metric.partition(",")[0]
    if all(isinstance(value, int | float) for value in values) and name != "perplexity":
        return _numbers(metric, name, [float(value) for value in values], higher)
    if name == "perplexity" and all(isinstance(value, int | float) for value in values):
        return _built(metric, name, {}), lambda value: (float(value), 1.0)
    if not all(isinstance(value, list) and len(value) == 2 for value in values):
        return None
    if name in PER_PIECE and all(isinstance(part, int | float) for value in values for part in value):
        return _built(metric, name, {}), lambda value: (float(value[0]), float(value[1]))
    if name in CLASSES:
        return _joint(metric, name, values)
    if name in TEXTS and all(isinstance(value[1], str) for value in values):
        return _texts(metric, name)
    return None


def _numbers(metric: str, name: str, values: Sequence[float], higher: bool) -> tuple[MetricFacts, Rows] | None:
    if not np.isfinite(values).all():
        return None
    low, high = (0.0, 1.0) if min(values) >= 0 and max(values) <= 1 else (min(values), max(values))
    kind = MetricKind.BINARY if set(values) <= {0.0, 1.0} else MetricKind.GRADED
    facts = MetricFacts(
        id=metric,
        name=name,
        options={},
        kind=kind,
        low=low,
        high=high,
        higher_is_better=higher,
        signature=f"{name}|as logged",
    )
    return facts, lambda value: (float(value), 1.0)


def _built(metric: str, name: str, options: Mapping[str, Any]) -> MetricFacts:
    spec = MetricSpec(id=metric, name=name, options=options)
    return facts_of(spec, build(spec))


def _joint(metric: str, name: str, values: Sequence[Any]) -> tuple[MetricFacts, Rows] | None:
    """(gold, chosen) labels, as lm-eval logs them for f1 and mcc."""
    if not all(
        isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 100
        for value in values
        for label in value
    ):
        return None
    classes = max(2, 1 + max(label for value in values for label in value))
    if name == "f1" and classes > 2:
        return None  # which average was asked for is not logged

    def row(value: Any) -> tuple[float, ...]:
        return tuple(float(place == value[0] * classes + value[1]) for place in range(classes**2))

    return _built(metric, name, {"classes": classes}), row


def _texts(metric: str, name: str) -> tuple[MetricFacts, Rows]:
    """(reference or references, text), as lm-eval logs them for sacrebleu's metrics."""
    counter: Any = build(MetricSpec(id=metric, name=name, options={}))

    def row(value: Any) -> tuple[float, ...]:
        references = value[0] if isinstance(value[0], list) else [value[0]]
        return tuple(float(number) for number in counter.count(value[1], [str(reference) for reference in references]))

    return _built(metric, name, {}), row


# ---- pairing ---------------------------------------------------------------------------------------------------------


def _unpaired(name: str, base: Logged, candidates: Sequence[Logged], metric: str, notices: list[str]) -> dict[str, int]:
    """How many examples each model lacks that another has. Raises NotComparableError where shared documents were asked
    or judged otherwise.
    """
    before = _by_document(base.tasks[name], metric)
    lacks = {log.name: 0 for log in (base, *candidates)}
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
            fix = "evaluate both with the same task version, data, shots, chat template and limit (tables: with the same columns)"
            raise NotComparableError(f"{log.name} and {base.name}", f"not the same prompts: {what}", fix)
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
    found: dict[str, set[str]] = {}
    for answer in task.answers[metric]:
        found.setdefault(answer.document, set()).add(answer.key)
    return found


def _measured(name: str, model: str, task: LoggedTask, metric: MetricFacts, rows: Rows) -> Measurement:
    answers = sorted(task.answers[metric.id], key=attrgetter("key"))
    units: dict[str, int] = {}
    places = np.array([units.setdefault(answer.unit, len(units)) for answer in answers])
    of_answers = np.array([rows(answer.value) for answer in answers], dtype=np.float64)
    summed = np.zeros((len(units), of_answers.shape[1]))
    np.add.at(summed, places, of_answers)
    return Measurement(
        task=name,
        metric=metric.id,
        model=model,
        units=tuple(units),
        sizes=tuple(np.bincount(places).tolist()),
        rows=summed,
    )


def _facts(task: LoggedTask, metrics: Sequence[MetricFacts], failed: Mapping[str, int], ours: Task | None) -> TaskFacts:
    """The task as `ours`, our own file of that name, has it, else by what is logged."""
    answers = task.answers[metrics[0].id]
    known = ours is not None and ours.primary == metrics[0].id
    chance = ours.chance if ours is not None and known else task.chance if metrics[0].kind == MetricKind.BINARY else 0.0
    return TaskFacts(
        name=task.name,
        family=ours.family if ours else "imported",
        version=task.version,
        primary=metrics[0].id,
        margin=ours.margin if ours is not None and known else MARGIN,
        chance=chance,
        available=len({answer.unit for answer in answers}),
        truncated=0,
        failed=failed,
        unparsed={},
        data_digest=fingerprint.of_value(sorted(answer.document for answer in answers)),
        prompts_digest=fingerprint.of_value(sorted(answer.key for answer in answers)),
        metrics=tuple(metrics),
    )


def _groups(base: Logged, facts: Sequence[TaskFacts], library: Library) -> tuple[Group, ...]:
    """Our own groups of which at least two tasks are there (gate units where they are declared so), then the log's,
    which only describe.
    """
    names = [fact.name for fact in facts]
    primaries = {fact.name: fact.primary for fact in facts}
    found = {}
    for name in library.groups():
        if len(members := [task for task in library.group(name).tasks if task in names]) > 1:
            found[name] = replace(library.group(name), tasks=tuple(members))
    for name, tasks in base.groups.items():
        members = [task for task in tasks if task in names]
        if name not in found and len(members) > 1 and len({primaries[task] for task in members}) == 1:
            found[name] = Group(
                name=name,
                tasks=tuple(members),
                metric=primaries[members[0]],
                unit=False,
                margin=MARGIN,
                family="imported",
            )
    return tuple(found.values())


def check_margins(found: Imported, given: Mapping[str, float]) -> None:
    """Raises UsageError for a task that needs a margin of its own and was given none."""
    for name, metric in found.unscaled.items():
        if name not in given:
            raise UsageError(
                "--margin",
                f"{metric} of {name} is not on a 0-1 scale",
                f"state the largest acceptable drop: --margin {name}=DELTA",
            )
