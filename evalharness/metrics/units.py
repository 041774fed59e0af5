"""Score whole units by 0 or 1: are all answers to a question judged rightly, does a pair get the same answer?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.metrics.base import picked_choice, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class OfUnits:
    """A metric that is the share of units for which `holds` is true of their predictions.

    A unit's row is (0 or 1, 1). A unit of fewer than `least` predictions has the row (0, 0) and does not count.
    """

    id: str
    signature: str
    holds: Callable[[Sequence[Prediction]], bool]
    least: int = 1
    kind: MetricKind = MetricKind.BINARY
    width: int = 2
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True

    def unit_row(self, predictions: Sequence[Prediction]) -> tuple[float, ...]:
        """Return the row of a unit. Raises TaskError if a response is no ranking."""
        holds = self.holds(predictions)
        return (float(holds), 1.0) if len(predictions) >= self.least else (0.0, 0.0)

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return self.unit_row((prediction,))

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(sums[..., 0], sums[..., 1])


def em_all(spec: MetricSpec) -> Metric:
    """Build the metric `em_all` of MultiRC: the share of questions whose answer options are all judged rightly
    (Khashabi et al. 2018). Units are questions.
    """

    def all_right(predictions: Sequence[Prediction]) -> bool:
        return all(picked_choice(prediction, spec.name) in prediction.example.gold for prediction in predictions)

    return OfUnits(id=spec.id, signature="em_all|unit:all|pick:sum|ties:first|v:1", holds=all_right)


def parity(spec: MetricSpec) -> Metric:
    """Build the metric `parity`, gender parity: the share of pairs with equal answers, right or wrong (AX-g, Rudinger
    et al. 2018). Units are pairs.

    A pair with a missing row, by a limit or a failure, does not count.
    """

    def alike(predictions: Sequence[Prediction]) -> bool:
        return len({picked_choice(prediction, spec.name) for prediction in predictions}) == 1

    return OfUnits(id=spec.id, signature="parity|unit:alike|pick:sum|ties:first|v:1", holds=alike, least=2)
