"""Measure the share of generations from which no answer could be extracted."""

from __future__ import annotations

from evalharness.metrics.base import Mean
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def unparsed(spec: MetricSpec) -> Metric:
    """Build the metric `unparsed`: 1 if the metric's filter extracted no answer from the text, else 0; lower is
    better.
    """
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "unparsed|v:1",
        lambda prediction: float(prediction.unparsed),
        higher_is_better=False,
    )
