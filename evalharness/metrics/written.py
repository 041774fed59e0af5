"""Describe written texts before any filter: empty ones, repetition, length, and texts that were cut off."""

from __future__ import annotations

from evalharness.metrics.base import Mean, generation, options_of, whole_number
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

GRAM = 4  # words, as Welleck et al. report it
LOOP = 0.5  # a text with a larger share of repeated n-grams counts as a loop


def empty(spec: MetricSpec) -> Metric:
    """Build the metric `empty`: 1 if the text is empty or white space, else 0; lower is better."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "empty|v:1",
        lambda prediction: float(not generation(prediction, spec.name).text.strip()),
        higher_is_better=False,
    )


def repetition(spec: MetricSpec) -> Metric:
    """Build the metric `repetition`: the share of a text's word n-grams that repeat earlier ones, 1 − distinct / all;
    0 without n-grams. Lower is better.

    seq-rep-n of Welleck et al. 2020 (arXiv 1908.04319, section 6.1), over words between white space instead of tokens.
    Option: n (4). A loop without spaces is one word, which `length` and `cut` show.
    """
    n = whole_number(spec, options_of(spec, ("n",)), "n", GRAM, 1, None)

    def share(prediction: Prediction) -> float:
        return repeated_share(generation(prediction, spec.name).text, n)

    return Mean(spec.id, MetricKind.GRADED, f"repetition|gram:{n}|pieces:words|v:1", share, higher_is_better=False)


def repeated_share(text: str, n: int) -> float:
    """Return the share of a text's word n-grams that repeat earlier ones; 0 without n-grams."""
    words = text.split()
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def loops(text: str) -> bool:
    """Return whether a text mostly repeats itself."""
    return repeated_share(text, GRAM) > LOOP


def length(spec: MetricSpec) -> Metric:
    """Build the metric `length`: the number of new tokens, with end token and stop string if the engine counts them.
    Neither direction is better: a difference above 0 means longer. Option `most` (128): the largest possible number.
    """
    most = whole_number(spec, options_of(spec, ("most",)), "most", 128, 1, None)

    def tokens(prediction: Prediction) -> float:
        return float(min(generation(prediction, spec.name).tokens, most))

    return Mean(spec.id, MetricKind.GRADED, f"length|unit:tokens|most:{most}|v:1", tokens, high=float(most))


def cut(spec: MetricSpec) -> Metric:
    """Build the metric `cut`: 1 if the text ended because it reached the limit, else 0; lower is better."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "cut|v:1",
        lambda each: float(generation(each, spec.name).finish_reason == "length"),
        higher_is_better=False,
    )
