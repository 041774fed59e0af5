"""Convert the texts of a log into samples, as a run writes them."""

from __future__ import annotations

from collections.abc import Mapping

from evalharness.imports.logged import LoggedTask
from evalharness.imports.metrics import ComparableMetric
from evalharness.records.measurements import Sample
from evalharness.stats.enums import MetricKind


def samples_of(task: LoggedTask, metric: ComparableMetric, unit_of: Mapping[str, str]) -> tuple[Sample, ...]:
    """Return the answers of one model whose texts are logged, with their scores by the deciding metric.

    `unit_of` maps the key of an answer to its unit. There is no score if single answers have none (corpus metrics),
    and if lower is better, because readers of samples take the smaller score for the loss.
    """
    facts = metric.facts
    alone = facts.kind in (MetricKind.BINARY, MetricKind.GRADED) and facts.higher_is_better
    return tuple(
        Sample(
            id=answer.key,
            unit=unit_of[answer.key],
            prompt=texts.prompt,
            output=texts.output,
            reference=texts.gold,
            score=float(answer.value) if alone else None,
        )
        for answer in task.answers[metric.facts.id]
        if (texts := task.texts.get(answer.key)) is not None
    )
