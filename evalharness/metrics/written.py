"""Describe texts as a model wrote them, before any filter: how often empty, how repetitive, how long, how often cut
off.
"""

from __future__ import annotations

from evalharness.metrics.base import Mean, generation, options_of, whole
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

GRAM = 4  # words, as Welleck et al. report it
LOOP = 0.5  # of a text's n-grams: a text of which more stood in it before says one thing over and over


def empty(spec: MetricSpec) -> Metric:
    """1 where nothing but white space was written; lower is better."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "empty|v:1",
        lambda prediction: float(not generation(prediction, spec.name).text.strip()),
        higher_is_better=False,
    )


def repetition(spec: MetricSpec) -> Metric:
    """The share of a text's n-grams of words that stood in it before, 1 − distinct / all; 0 where it has none. Lower is
    better.

    seq-rep-n of Welleck et al. 2020 (arXiv 1908.04319, section 6.1), over words between white space instead of tokens.
    Option: n (4). A loop without gaps is one word, which `length` and `cut` show.
    """
    n = whole(spec, options_of(spec, ("n",)), "n", GRAM, 1, None)

    def share(prediction: Prediction) -> float:
        return repeated_share(generation(prediction, spec.name).text, n)

    return Mean(spec.id, MetricKind.GRADED, f"repetition|gram:{n}|pieces:words|v:1", share, higher_is_better=False)


def repeated_share(text: str, n: int) -> float:
    """The share of a text's n-grams of words that stood in it before; 0 where it has none."""
    words = text.split()
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def loops(text: str) -> bool:
    """Does a text say one thing over and over?"""
    return repeated_share(text, GRAM) > LOOP


def length(spec: MetricSpec) -> Metric:
    """New tokens that were written, end token and stop string included where the engine counts them. Neither direction
    is better: a difference above 0 is longer. Option `most` (128): what no text is longer than, in tokens.
    """
    most = whole(spec, options_of(spec, ("most",)), "most", 128, 1, None)

    def tokens(prediction: Prediction) -> float:
        return float(min(generation(prediction, spec.name).tokens, most))

    return Mean(spec.id, MetricKind.GRADED, f"length|unit:tokens|most:{most}|v:1", tokens, high=float(most))


def cut(spec: MetricSpec) -> Metric:
    """1 where the text ended only because it had reached the limit; lower is better."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "cut|v:1",
        lambda each: float(generation(each, spec.name).finish_reason == "length"),
        higher_is_better=False,
    )
