"""Compute perplexities and bits per byte from log-probabilities, by lm-evaluation-harness's definitions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from evalharness.metrics.base import Floats, SumMetric, example_error, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Ranking, Scoring
from evalharness.records.tasks import MetricSpec

SPACE = re.compile(r"\s+")
MOST = 200.0  # nats: a perplexity is at most e^200, so that squares and cubes of scores stay finite


def word_perplexity(spec: MetricSpec) -> Metric:
    """Build the metric `word_perplexity`: exp(nats per word) of whole texts; words are separated by white space (an
    empty piece at either end counts, as in lm-eval).
    """
    return _of_texts(spec, lambda text: len(SPACE.split(text)), "words:white-space", _power, 1.0)


def byte_perplexity(spec: MetricSpec) -> Metric:
    """Build the metric `byte_perplexity`: exp(nats per UTF-8 byte) of whole texts."""
    return _of_texts(spec, _bytes, "bytes:utf-8", _power, 1.0)


def bits_per_byte(spec: MetricSpec) -> Metric:
    """Build the metric `bits_per_byte`: bits per UTF-8 byte of whole texts."""
    return _of_texts(spec, _bytes, "bytes:utf-8", lambda nats: nats / math.log(2), 0.0)


def perplexity(spec: MetricSpec) -> Metric:
    """Build the metric `perplexity`: exp(mean nats per continuation): every continuation is one piece, whatever its
    number of words.
    """

    def read(prediction: Prediction) -> tuple[float, float]:
        response = prediction.response
        if not isinstance(response, Ranking) or len(response.logprobs) != 1:
            what = "has no log-probability of one continuation"
            raise example_error(spec.name, prediction.example, what, "it is for loglikelihood tasks")
        return response.logprobs[0], 1.0

    return _per_piece(spec, "perplexity|per:continuation|v:1", read, _power, 1.0)


def _of_texts(
    spec: MetricSpec, pieces: Callable[[str], int], counted: str, of_nats: Callable[[Floats], Floats], low: float
) -> Metric:
    def read(prediction: Prediction) -> tuple[float, float]:
        response, references = prediction.response, prediction.example.references
        if not isinstance(response, Scoring) or not references:
            what = "has no log-probability of a whole text"
            raise example_error(spec.name, prediction.example, what, "it is for loglikelihood_rolling tasks")
        return response.logprob, float(pieces(references[0]))

    return _per_piece(spec, f"{spec.name}|{counted}|v:1", read, of_nats, low)


def _per_piece(
    spec: MetricSpec,
    signature: str,
    read: Callable[[Prediction], tuple[float, float]],
    of_nats: Callable[[Floats], Floats],
    low: float,
) -> Metric:
    """Build a metric with rows (log-probability in nats, number of pieces).

    Its score is a function of nats per piece, 0 without pieces, and has no upper bound.
    """

    def score(sums: Floats) -> Floats:
        return np.where(sums[..., 1] > 0, of_nats(-ratio(sums[..., 0], sums[..., 1])), 0.0)

    return SumMetric(
        id=spec.id,
        signature=signature,
        width=2,
        read=read,
        of_sums=score,
        low=low,
        high=math.inf,
        higher_is_better=False,
    )


def _bytes(text: str) -> int:
    return len(text.encode())


def _power(nats: Floats) -> Floats:
    return np.exp(np.minimum(nats, MOST))
