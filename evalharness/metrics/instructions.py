"""Score written text by the instructions that it keeps: all of a row's, or the share of them."""

from __future__ import annotations

from evalharness.metrics.base import all_held, observing
from evalharness.metrics.instruction_checks import VERSION, kept
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def instructions(spec: MetricSpec) -> Metric:
    """1 where the text keeps every instruction of its row, whose references are checks in JSON."""
    return observing(spec, MetricKind.BINARY, f"checks:{VERSION}", kept, all_held)


def instructions_share(spec: MetricSpec) -> Metric:
    """The share of its row's instructions that the text keeps."""
    return observing(spec, MetricKind.GRADED, f"checks:{VERSION}", kept, lambda held: sum(held) / len(held))
