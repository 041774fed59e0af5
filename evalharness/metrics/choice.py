"""Score ranked choices by accuracy (raw, by length, by mutual information, graded) and by the Brier score.

Definitions are lm-evaluation-harness's (`ConfigurableTask.process_results`), so that numbers are comparable; the grade
is BIG-bench's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics.base import Mean, choice_logprobs, example_error, flag, options_of, picked_choice
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Ranking
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def acc(spec: MetricSpec) -> Metric:
    """Build the metric `acc`: 1 if the choice with the highest summed log-probability (of equals the first) is right,
    else 0.

    For a single continuation, 1 if greedy decoding gives it.
    """
    return Mean(spec.id, MetricKind.BINARY, "acc|pick:sum|ties:first|v:1", partial(_accuracy, spec.name))


def acc_norm(spec: MetricSpec) -> Metric:
    """Build the metric `acc_norm`: `acc` with each log-probability divided by the number of characters of the choice's
    text.
    """
    return Mean(
        spec.id, MetricKind.BINARY, "acc_norm|pick:per-character|ties:first|v:1", partial(_normalised, spec.name, len)
    )


def acc_bytes(spec: MetricSpec) -> Metric:
    """Build the metric `acc_bytes`: `acc` with each log-probability divided by the number of UTF-8 bytes of the
    choice's text.
    """
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "acc_bytes|pick:per-byte|ties:first|v:1",
        partial(_normalised, spec.name, lambda text: len(text.encode())),
    )


def brier_score(spec: MetricSpec) -> Metric:
    """Build the metric `brier_score`: the sum over choices of (probability − gold mass)². Probabilities are a softmax
    of the summed log-probabilities; 0 is best, 2 worst.

    With several right choices the gold mass is spread evenly over them.
    """
    return Mean(
        spec.id,
        MetricKind.GRADED,
        "brier_score|softmax:sum|v:1",
        partial(_brier, spec.name),
        low=0.0,
        high=2.0,
        higher_is_better=False,
    )


def acc_mutual_info(spec: MetricSpec) -> Metric:
    """Build the metric `acc_mutual_info`: `acc` with each log-probability less that of the same continuation without
    context (Brown et al. 2020, section 2.4).

    The response has first the pairs with context and then, in the same order, those without.
    """
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "acc_mutual_info|pick:conditional-unconditional|ties:first|v:1",
        partial(_informed, spec.name),
    )


def multiple_choice_grade(spec: MetricSpec) -> Metric:
    """Build the metric `multiple_choice_grade`: the target score in BIG-bench of the choice with the highest summed
    log-probability; without such scores, 1 for a right one.

    Option `fractional` (default false): allow scores between 0 and 1. Rows are then graded; without it such a row is
    an error.
    """
    fractional = flag(spec, options_of(spec, ("fractional",)), "fractional")
    signature = f"multiple_choice_grade|pick:sum|ties:first|scores:{'0-1' if fractional else '0,1'}|v:1"
    return Mean(
        spec.id,
        MetricKind.GRADED if fractional else MetricKind.BINARY,
        signature,
        partial(_graded, spec.name, fractional),
    )


def _accuracy(name: str, prediction: Prediction) -> float:
    choice, response = picked_choice(prediction, name), prediction.response
    if isinstance(response, Ranking) and len(response.greedy) == 1:
        return float(response.greedy[0])
    return float(choice in prediction.example.gold)


def _normalised(name: str, length: Callable[[str], int], prediction: Prediction) -> float:
    lengths = np.array([float(length(choice)) for choice in prediction.example.choices])
    logprobs = choice_logprobs(prediction, name)
    scaled = np.divide(logprobs, lengths, out=np.full(len(lengths), -np.inf), where=lengths > 0)
    return float(int(np.argmax(scaled)) in prediction.example.gold)


def _informed(name: str, prediction: Prediction) -> float:
    in_context, response = choice_logprobs(prediction, name), prediction.response
    alone = response.logprobs[len(in_context) :] if isinstance(response, Ranking) else ()
    if len(alone) != len(in_context):
        what = f"has {len(in_context)} choices and {len(alone)} of them without context"
        raise example_error(name, prediction.example, what, "ask every choice once more with an empty context")
    return float(int(np.argmax(in_context - np.array(alone))) in prediction.example.gold)


def _graded(name: str, fractional: bool, prediction: Prediction) -> float:
    choice, example = picked_choice(prediction, name), prediction.example
    if not example.scores:
        return float(choice in example.gold)
    allowed = "numbers from 0 to 1" if fractional else "0 and 1 (`fractional: true` takes what lies between)"
    for score in example.scores:
        if not 0 <= score <= 1 or (score not in (0, 1) and not fractional):
            raise TaskError(
                f"metric {name}", f"a choice of example {example.id} is worth {score:g}", f"{allowed} would be right"
            )
    return example.scores[choice]


def _brier(name: str, prediction: Prediction) -> float:
    logprobs = choice_logprobs(prediction, name)
    weights = np.exp(logprobs - logprobs.max())
    gold = np.zeros(len(logprobs))
    gold[list(prediction.example.gold)] = 1 / len(prediction.example.gold)
    return float(((weights / weights.sum() - gold) ** 2).sum())
