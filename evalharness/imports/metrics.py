"""Recognise the metrics of other tools' logs by their names and logged values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from evalharness import registry
from evalharness.errors import NotComparableError
from evalharness.imports.logged import LoggedTask, ModelLog
from evalharness.metrics import LOWER_IS_BETTER, REGISTRY
from evalharness.metrics.build import build, facts_of
from evalharness.records.measurements import MetricFacts, Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

PER_PIECE = ("word_perplexity", "byte_perplexity", "bits_per_byte")
TEXTS = ("bleu", "chrf", "ter")
CLASSES = ("f1", "mcc")
HIGHER_IS_BETTER = {"score", "accuracy", "correct", "em", "f1", "rougeLsum"}

RowOfValue = Callable[[Any], tuple[float, ...]]


def comparable_metrics(
    name: str, logs: Sequence[ModelLog], primary: str, lower: Collection[str], notices: list[str]
) -> list[tuple[MetricFacts, RowOfValue]]:
    """List the metrics that can be compared, the deciding one first: `primary` where the base has it, else the base's
    first that can be scored.

    Raises NotComparableError where a candidate lacks that one: another never decides in its place.
    """
    base, *others = [log.tasks[name] for log in logs]
    metrics: list[tuple[MetricFacts, RowOfValue]] = []
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
        if recognised is None and not metrics:
            what = (
                f"{name} has no scores by {metric}, which decides"
                if lacking
                else f"the scores of {name} by {metric} are of several forms"
            )
            raise NotComparableError(
                ", ".join(lacking) or name, what, "evaluate both with the same task version, and log the samples again"
            )
        if recognised is None or any(
            _keys(task, metric) != _keys(task, metrics[0][0].id) for task in (base, *others) if metrics
        ):
            notices.append(f"{name}: {metric} is left out, not every model and example has a score by it")
        else:
            metrics.append(recognised)
    return metrics


def _keys(task: LoggedTask, metric: str) -> set[str]:
    return {answer.key for answer in task.answers[metric]}


def _shown(task: LoggedTask, metric: str) -> str:
    return str(task.answers[metric][0].value)[:40]


def _higher(name: str, metric: str, task: LoggedTask, lower: Collection[str], notices: list[str]) -> bool:
    """Is more better? The user decides, else the log, else what is known of the metric; else it is, with a notice."""
    plain = metric.partition(",")[0]
    if metric in lower or plain in lower:
        return False
    if metric in task.higher:
        return task.higher[metric]
    if plain not in LOWER_IS_BETTER | HIGHER_IS_BETTER | set(registry.names(REGISTRY, "metric")):
        notices.append(
            f"{name}: {metric} is taken to be better the more there is of it; if not: --lower-is-better {plain}"
        )
    return plain not in LOWER_IS_BETTER


def _recognised(metric: str, values: Sequence[Any], higher: bool) -> tuple[MetricFacts, RowOfValue] | None:
    """Recognise a metric by its logged values; None where they are of no known form."""
    name = metric.partition(",")[0]
    if all(isinstance(value, int | float) for value in values):
        if name == "perplexity":
            return _built(metric, name, {}), lambda value: (float(value), 1.0)
        return _numbers(metric, name, [float(value) for value in values], higher)
    if not all(isinstance(value, list) and len(value) == 2 for value in values):
        return None
    if name in PER_PIECE and all(isinstance(part, int | float) for value in values for part in value):
        return _built(metric, name, {}), lambda value: (float(value[0]), float(value[1]))
    if name in CLASSES:
        return _joint(metric, name, values)
    if name in TEXTS and all(isinstance(value[1], str) for value in values):
        return _texts(metric, name)
    return None


def _numbers(metric: str, name: str, values: Sequence[float], higher: bool) -> tuple[MetricFacts, RowOfValue] | None:
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


def _joint(metric: str, name: str, values: Sequence[Any]) -> tuple[MetricFacts, RowOfValue] | None:
    """Count (gold, chosen) labels, as lm-eval logs them for f1 and mcc."""
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


def _texts(metric: str, name: str) -> tuple[MetricFacts, RowOfValue]:
    """Count (reference or references, text) pairs, as lm-eval logs them for sacrebleu's metrics."""
    built = build(MetricSpec(id=metric, name=name, options={}))

    def row(value: Any) -> tuple[float, ...]:
        references = value[0] if isinstance(value[0], list) else [value[0]]
        example = Example(id="", unit="", prompt="", references=tuple(map(str, references)))
        response = Generation(request_id="", text=value[1], finish_reason="eos", tokens=0)
        return built.row(Prediction(example=example, response=response, text=value[1]))

    return _built(metric, name, {}), row
