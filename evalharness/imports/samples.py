"""Make samples to read of the texts of a log, as a run leaves them: what each model was asked and answered."""

from __future__ import annotations

from collections.abc import Mapping

from evalharness.imports.logged import LoggedTask
from evalharness.imports.metrics import ComparableMetric
from evalharness.records.measurements import Sample
from evalharness.stats.enums import MetricKind


def samples_of(task: LoggedTask, metric: ComparableMetric, unit_of: Mapping[str, str]) -> tuple[Sample, ...]:
    """List the answers of one model of which the log holds the texts, with their scores by the metric that decides.
    `unit_of`: key of an answer -> its unit.

    No score where single answers have none (metrics of a whole corpus), and where less is better, since what reads
    samples takes the smaller score for the loss.
    """
    facts = metric.facts
    alone = facts.kind in (MetricKind.BINARY, MetricKind.GRADED) and facts.higher_is_better
    return tuple(
        Sample(
            id=answer.key,
            unit=unit_of[answer.key],
            prompt=texts.prompt,
            output=texts.given,
            reference=texts.gold,
            score=float(answer.value) if alone else None,
        )
        for answer in task.answers[metric.facts.id]
        if (texts := task.texts.get(answer.key)) is not None
    )
