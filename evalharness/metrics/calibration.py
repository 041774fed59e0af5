"""Ranked choices to the expected calibration error: how far the model's confidence in the choice it picks is from how
often that is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import TaskError
from evalharness.metrics.base import options_of, ranked, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Rows (bins × 3), flattened: in the bin that the confidence falls in 1, the confidence, and 1 where the choice is
    right; 0 elsewhere.

    Confidence is the probability of the picked choice, by a softmax over the summed log-probabilities of all. Bins are
    equally wide and hold their upper end: (0, 1/bins], … (Guo et al. 2017, equation 3).
    """

    id: str
    bins: int
    kind: MetricKind = MetricKind.CORPUS
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = False

    @property
    def width(self) -> int:
        return 3 * self.bins

    @property
    def signature(self) -> str:
        return f"ece|bins:{self.bins}|edges:upper|softmax:sum|v:1"

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        """Raises TaskError where fewer than two choices were ranked."""
        logprobs = ranked(prediction, self.id, least=2)
        confidence = float(1 / np.exp(logprobs - logprobs.max()).sum())
        counts = np.zeros((self.bins, 3))
        place = min(max(int(np.ceil(confidence * self.bins)) - 1, 0), self.bins - 1)
        counts[place] = 1.0, confidence, float(prediction.choice in prediction.example.gold)
        return tuple(counts.ravel().tolist())

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.asarray(sums, dtype=np.float64)
        count, confidence, right = np.moveaxis(sums.reshape(*sums.shape[:-1], self.bins, 3), -1, 0)
        return ratio(np.abs(confidence - right).sum(-1), count.sum(-1))


def ece(spec: MetricSpec) -> Metric:
    """Option: bins (10)."""
    bins = options_of(spec, ("bins",)).get("bins", 10)
    if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= 100:
        raise TaskError(f"metric {spec.name}", f"bins is {bins!r}", "a whole number from 1 to 100 would be right")
    return CalibrationError(spec.id, bins)
