"""Score written text by the instructions that it follows: all of a row's, or the share of them."""

from __future__ import annotations

from evalharness.metrics.base import all_true, observation_metric
from evalharness.metrics.instruction_checks import VERSION, check_instructions
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def instructions(spec: MetricSpec) -> Metric:
    """Build the metric `instructions`: 1 if the text follows every instruction of its row, whose references are checks
    in JSON; else 0.
    """
    return observation_metric(spec, MetricKind.BINARY, f"checks:{VERSION}", check_instructions, all_true)


def instructions_share(spec: MetricSpec) -> Metric:
    """Build the metric `instructions_share`: the share of its row's instructions that the text follows."""
    return observation_metric(
        spec, MetricKind.GRADED, f"checks:{VERSION}", check_instructions, lambda results: sum(results) / len(results)
    )
