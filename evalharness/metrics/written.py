"""Texts as a model wrote them, before any filter, to what they look like: how often empty, how repetitive, how long,
how often cut off.
"""

from __future__ import annotations

from evalharness.errors import TaskError
from evalharness.metrics.base import Mean, options_of
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Generation
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

GRAM = 4  # words, as Welleck et al. report it


def empty(spec: MetricSpec) -> Metric:
    """1 where nothing but white space was written; lower is better."""
    options_of(spec, ())
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "empty|v:1",
        lambda prediction: float(not _raw(prediction, spec.name).text.strip()),
        higher_is_better=False,
    )


def repetition(spec: MetricSpec) -> Metric:
    """The share of a text's n-grams of words that stood in it before, 1 − distinct / all; 0 where it has none. Lower is
    better.

    seq-rep-n of Welleck et al. 2020 (arXiv 1908.04319, section 6.1), over words between white space instead of tokens.
    Option: n (4). A loop without gaps is one word, which `length` and `cut` show.
    """
    n = _whole(spec, "n", GRAM)

    def share(prediction: Prediction) -> float:
        words = _raw(prediction, spec.name).text.split()
        grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
        return 1 - len(set(grams)) / len(grams) if grams else 0.0

    return Mean(spec.id, MetricKind.GRADED, f"repetition|gram:{n}|pieces:words|v:1", share, higher_is_better=False)


def length(spec: MetricSpec) -> Metric:
    """New tokens that were written, end token and stop string included where the engine counts them. Neither direction
    is better: a difference above 0 is longer. Option `most` (128): what no text is longer than, in tokens.
    """
    most = _whole(spec, "most", 128)

    def tokens(prediction: Prediction) -> float:
        return float(min(_raw(prediction, spec.name).tokens, most))

    return Mean(spec.id, MetricKind.GRADED, f"length|unit:tokens|most:{most}|v:1", tokens, high=float(most))


def cut(spec: MetricSpec) -> Metric:
    """1 where the text ended only because it had reached the limit; lower is better."""
    options_of(spec, ())
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "cut|v:1",
        lambda each: float(_raw(each, spec.name).finish_reason == "length"),
        higher_is_better=False,
    )


def _raw(prediction: Prediction, name: str) -> Generation:
    """What was written. Raises TaskError where nothing was."""
    if not isinstance(prediction.response, Generation):
        raise TaskError(
            f"metric {name}", f"example {prediction.example.id} has no generated text", "it is for generate_until tasks"
        )
    return prediction.response


def _whole(spec: MetricSpec, key: str, otherwise: int) -> int:
    """The one option of a metric, a whole number from 1 up. Raises TaskError."""
    value = options_of(spec, (key,)).get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TaskError(f"metric {spec.name}", f"{key} is {value!r}", "a whole number from 1 up would be right")
    return value
