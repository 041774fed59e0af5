"""Recognise the metrics of other tools' logs by their names and logged values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from evalharness.errors import NotComparableError
from evalharness.imports.logged import LoggedTask, MetricStatement, ModelLog, plain_name
from evalharness.imports.scales import (
    Statements,
    check,
    check_alike,
    ends_of,
    merged_statement,
    notices_of,
    settle_scale,
)
from evalharness.metrics import LOWER_IS_BETTER
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import MetricFacts, Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec, Task
from evalharness.stats.enums import MetricKind

PER_PIECE = ("word_perplexity", "byte_perplexity", "bits_per_byte")
TEXTS = ("bleu", "chrf", "ter")
CLASSES = ("f1", "mcc")
AGAIN = "evaluate both with the same task version, and log the samples again"

RowOfValue = Callable[[Any], tuple[float, ...]]


class ComparableMetric(NamedTuple):
    """A metric that all models have. `rows` makes a row of a logged value. `chance` is None if it is unknown."""

    facts: MetricFacts
    rows: RowOfValue
    chance: float | None


def comparable_metrics(
    name: str, logs: Sequence[ModelLog], ours: Task | None, statements: Statements, notices: list[str]
) -> list[ComparableMetric]:
    """List the metrics that can be compared, the deciding one first.

    It is that of `ours`, our task file of that name, if the base has it, else the base's first that can be scored.
    Raises NotComparableError if a candidate lacks it, because another metric never decides instead, or if only the
    base has no scores.
    """
    base, *others = [log.tasks[name] for log in logs]
    if not base.answers and any(task.answers for task in others):
        raise NotComparableError(logs[0].name, f"{name} has no scores of single examples, and other logs have", AGAIN)
    metrics: list[ComparableMetric] = []
    for metric in sorted(base.answers, key=lambda each: ours is None or each != ours.primary):
        statement = merged_statement(base, metric, ours, statements, not metrics)
        if _recognised(name, metric, [answer.value for answer in base.answers[metric]], {}) is None:
            notices.append(
                f"{name}: {metric} is left out, its logged values ({_first_value(base, metric)}) cannot be scored here"
            )
            continue
        lacking = [log.name for log, task in zip(logs[1:], others, strict=True) if metric not in task.answers]
        values = [answer.value for task in (base, *others) for answer in task.answers.get(metric, ())]
        recognised = None if lacking else _recognised(name, metric, values, statement)
        if recognised is None and not metrics:
            what = (
                f"{name} has no scores by {metric}, which decides"
                if lacking
                else f"the scores of {name} by {metric} are of several forms"
            )
            raise NotComparableError(", ".join(lacking) or name, what, AGAIN)
        if recognised is None or any(
            _keys(task, metric) != _keys(task, metrics[0].facts.id) for task in (base, *others) if metrics
        ):
            notices.append(f"{name}: {metric} is left out, not every model and example has a score by it")
            continue
        check_alike(metric, (base, *others), [log.name for log in logs])
        notices += notices_of(name, recognised.facts, statement, not metrics)
        metrics.append(recognised)
    return metrics


def _keys(task: LoggedTask, metric: str) -> set[str]:
    return {answer.key for answer in task.answers[metric]}


def _first_value(task: LoggedTask, metric: str) -> str:
    return str(task.answers[metric][0].value)[:40]


def _recognised(task: str, metric: str, values: Sequence[Any], statement: MetricStatement) -> ComparableMetric | None:
    """Recognise a metric by its logged values; None if they are of no known form.

    Raises UsageError for a statement that cannot be right.
    """
    name = plain_name(metric)
    if all(isinstance(value, int | float) for value in values):
        if name == "perplexity" and max(values, default=0.0) <= 0:  # lm-eval logs the log-likelihood of every text
            return _built(task, metric, {}, statement, lambda value: (float(value), 1.0))
        return _numbers(task, metric, [float(value) for value in values], statement)
    if not all(isinstance(value, list) and len(value) == 2 for value in values):
        return None
    if name in PER_PIECE and all(isinstance(part, int | float) for value in values for part in value):
        return _built(task, metric, {}, statement, lambda value: (float(value[0]), float(value[1])))
    if name in CLASSES:
        return _joint(task, metric, values, statement)
    if name in TEXTS and all(isinstance(value[1], str) for value in values):
        return _built(task, metric, {}, statement, _texts(metric))
    return None


def score_of(task: str, metric: str, values: Sequence[Any]) -> float | None:
    """Compute the score of the logged values of all examples; None if they are of no known form.

    Raises UsageError as a comparison does.
    """
    recognised = _recognised(task, metric, values, {})
    if recognised is None:
        return None
    rows = np.array([recognised.rows(value) for value in values], dtype=np.float64)
    return float(from_facts(recognised.facts).score(rows.sum(0)))


def _numbers(task: str, metric: str, values: Sequence[float], statement: MetricStatement) -> ComparableMetric | None:
    if not np.isfinite(values).all():
        return None
    name = plain_name(metric)
    low, high = ends_of(name, min(values, default=0.0), max(values, default=0.0))
    scale = settle_scale(name, (name not in LOWER_IS_BETTER, low, high), statement)
    check(f"{metric} of {task}", scale, values)
    single = set(values) <= {0.0, 1.0} and (scale.low, scale.high) == (0.0, 1.0)
    facts = MetricFacts(
        id=metric,
        name=name,
        options={},
        kind=MetricKind.BINARY if single else MetricKind.GRADED,
        low=scale.low,
        high=scale.high,
        higher_is_better=scale.higher_is_better,
        signature=f"{name}|as logged",
    )
    return ComparableMetric(facts, lambda value: (float(value), 1.0), scale.chance)


def _built(
    task: str, metric: str, options: Mapping[str, Any], statement: MetricStatement, rows: RowOfValue
) -> ComparableMetric:
    """Build our metric that computes its score from the statistics that were logged."""
    spec = MetricSpec(id=metric, name=plain_name(metric), options=options)
    facts = facts_of(spec, build(spec))
    scale = settle_scale(spec.name, (facts.higher_is_better, facts.low, facts.high), statement)
    check(f"{metric} of {task}", scale)
    facts = replace(facts, higher_is_better=scale.higher_is_better, low=scale.low, high=scale.high)
    return ComparableMetric(facts, rows, scale.chance)


def _joint(task: str, metric: str, values: Sequence[Any], statement: MetricStatement) -> ComparableMetric | None:
    """Count (gold, chosen) labels, as lm-eval logs them for f1 and mcc."""
    if not all(
        isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 100
        for value in values
        for label in value
    ):
        return None
    classes = max(2, 1 + max(label for value in values for label in value))
    if plain_name(metric) == "f1" and classes > 2:
        return None  # which average was asked for is not logged

    def row(value: Any) -> tuple[float, ...]:
        return tuple(float(place == value[0] * classes + value[1]) for place in range(classes**2))

    return _built(task, metric, {"classes": classes}, statement, row)


def _texts(metric: str) -> RowOfValue:
    """Count (reference or references, text) pairs, as lm-eval logs them for sacrebleu's metrics."""
    built = build(MetricSpec(id=metric, name=plain_name(metric), options={}))

    def row(value: Any) -> tuple[float, ...]:
        references = value[0] if isinstance(value[0], list) else [value[0]]
        example = Example(id="", unit="", prompt="", references=tuple(map(str, references)))
        response = Generation(request_id="", text=value[1], finish_reason="eos", tokens=0)
        return built.row(Prediction(example=example, response=response, text=value[1]))

    return row
