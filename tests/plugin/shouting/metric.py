"""Measure the share of letters that are capital."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalharness.metrics.base import options_of, ratio
from evalharness.records.measurements import Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


class Loudness:
    """A row is (capital letters, letters), so that the score of several answers is over all their letters."""

    reads = ("generate_until",)
    kind, low, high, higher_is_better, width = MetricKind.CORPUS, 0.0, 1.0, True, 2

    def __init__(self, spec: MetricSpec) -> None:
        options_of(spec, ())
        self.id, self.signature = spec.id, "loudness|version:1"

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        letters = [letter for letter in prediction.text or "" if letter.isalpha()]
        return (float(sum(letter.isupper() for letter in letters)), float(len(letters)))

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(sums[..., 0], sums[..., 1])
