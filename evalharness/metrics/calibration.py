"""Score ranked choices by the expected calibration error, the distance of confidence from accuracy."""

from __future__ import annotations

import numpy as np

from evalharness.metrics.base import Floats, SumMetric, choice_logprobs, options_of, ratio, whole_number
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec


def ece(spec: MetricSpec) -> Metric:
    """Build the metric `ece`, the expected calibration error. Option: bins (10).

    A row is (bins × 3) numbers, flattened: in the bin of the confidence they are 1, the confidence, and 1 if the
    choice is right; elsewhere 0. Rows raise TaskError for fewer than two choices.

    Confidence is the probability of the picked choice, by a softmax over the summed log-probabilities of all. Bins are
    equally wide and include their upper end: (0, 1/bins], … (Guo et al. 2017, equation 3).
    """
    bins = whole_number(spec, options_of(spec, ("bins",)), "bins", 10, 1, 100)

    def row(prediction: Prediction) -> Floats:
        logprobs = choice_logprobs(prediction, spec.id, least=2)
        confidence = float(1 / np.exp(logprobs - logprobs.max()).sum())
        counts = np.zeros((bins, 3))
        place = min(max(int(np.ceil(confidence * bins)) - 1, 0), bins - 1)
        counts[place] = 1.0, confidence, float(prediction.choice in prediction.example.gold)
        return counts.ravel()

    def score(sums: Floats) -> Floats:
        count, confidence, right = np.moveaxis(sums.reshape(*sums.shape[:-1], bins, 3), -1, 0)
        return ratio(np.abs(confidence - right).sum(-1), count.sum(-1))

    signature = f"ece|bins:{bins}|edges:upper|softmax:sum|v:1"
    return SumMetric(id=spec.id, signature=signature, width=3 * bins, read=row, of_sums=score, higher_is_better=False)
