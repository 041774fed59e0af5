"""Correlate a model's numbers, from ranked choices, with the right ones: Pearson's r from six sums, Spearman's rho.

A model's number is the mean of the choices' numbers, weighted by their probabilities (softmax of the summed
log-probabilities).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from evalharness.errors import TaskError
from evalharness.json_text import number_in
from evalharness.metrics.base import Floats, Opaque, SumMetric, choice_logprobs, example_error, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Example
from evalharness.records.tasks import MetricSpec

# a spread below this share of the squares may be rounding (a mean a million times the deviation) and counts as 0
FLAT = 1e-12


def pearson(spec: MetricSpec) -> Metric:
    """Build the metric `pearson`: Pearson's r of the model's and the right number, which a task states as
    `metadata.value`. 0 if either side is constant, and for fewer than two examples.

    Rows (1, x, y, x², y², xy): x is the model's number, y the right one. They raise TaskError if a choice is no number
    or the example has none.
    """

    def row(prediction: Prediction) -> tuple[float, ...]:
        x, y = _numbers(prediction, spec.id)
        return 1.0, x, y, x * x, y * y, x * y

    signature = "pearson|x:expectation|softmax:sum|v:1"
    return SumMetric(id=spec.id, signature=signature, width=6, read=row, of_sums=correlation, low=-1.0)


def spearman(spec: MetricSpec) -> Metric:
    """Build the metric `spearman`, Spearman's rho of the model's and the right number: Pearson's r of ranks; equal
    numbers share their mean rank. Ranks are no sums, so the metric is opaque (one number for all predictions, without
    an interval).

    A task states the right number as `metadata.value`. 0 if either side is constant.
    """

    def value(predictions: Sequence[Prediction]) -> float:
        pairs = np.array([_numbers(prediction, spec.id) for prediction in predictions]).reshape(-1, 2)
        # Ranks around 0 keep the six sums exact for any number of examples.
        x, y = (rankdata(column) - (len(pairs) + 1) / 2 for column in pairs.T)
        return float(correlation(np.array([len(pairs), x.sum(), y.sum(), x @ x, y @ y, x @ y], dtype=np.float64)))

    return Opaque(
        id=spec.id, signature="spearman|x:expectation|softmax:sum|ties:mean|v:1", low=-1.0, high=1.0, value=value
    )


def correlation(sums: Floats) -> Floats:
    """Compute Pearson's r (...) from sums (..., 6) of (1, x, y, x², y², xy); 0 if it is undefined."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    varied = (spread_x > FLAT * n * xx) & (spread_y > FLAT * n * yy)
    spread = np.sqrt(np.where(varied, spread_x, 0.0)) * np.sqrt(np.where(varied, spread_y, 0.0))
    return np.clip(ratio(n * xy - x * y, spread), -1.0, 1.0)


def _numbers(prediction: Prediction, name: str) -> tuple[float, float]:
    """Return the model's number and the right number. Raises TaskError."""
    example, logprobs = prediction.example, choice_logprobs(prediction, name)
    if example.value is None:
        raise example_error(name, example, "asks for no number", "state `metadata.value` in the task file")
    weights = np.exp(logprobs - logprobs.max())
    numbers = np.array([_number(choice, example, name) for choice in example.choices])
    return float(weights @ numbers / weights.sum()), example.value


def _number(choice: str, example: Example, name: str) -> float:
    if not math.isfinite(number := number_in(choice)):
        what = f"the choice {choice[:40]!r} of example {example.id} is no number"
        raise TaskError(f"metric {name}", what, "choices such as 0, 1, 2.5 would be right")
    return number
