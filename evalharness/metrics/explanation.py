"""Explain the score of one text: its matching words and n-grams in ROUGE or BLEU, or the tests that it passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics import OBSERVED, ROUGE
from evalharness.metrics.base import Look, Mean, Observation
from evalharness.metrics.bleu import ORDERS, bleu_parts, corpus_bleu, statistics, words_of
from evalharness.metrics.build import build
from evalharness.metrics.lcs import matched_places, places
from evalharness.metrics.ngrams import ngrams
from evalharness.metrics.rouge import rouge_counts, rouge_words
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

OWN = "docs/behaviour.md says what they look like"
EXPLAINED = (*ROUGE, "bleu", *OBSERVED)


@dataclass(frozen=True, slots=True)
class GramMatch:
    """An n-gram that output and reference share.

    `counted` is the number of matches that count, at most as many as the reference has.
    """

    gram: str
    output: int
    reference: int
    counted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a metric computes the score of one text.

    `measures` are counts and scores by name. `reference` is the one of several references that counts; None for BLEU,
    which uses all of them. `subsequence` are the words of the longest common subsequence, for ROUGE-L. `observations`
    are the results of tests, for metrics that have them.
    """

    metric: str
    signature: str
    measures: Mapping[str, float]
    reference: str | None
    matches: tuple[GramMatch, ...] = ()
    subsequence: tuple[str, ...] = ()
    observations: tuple[Observation, ...] = ()


def explain(spec: MetricSpec, output: str, references: Sequence[str]) -> Explanation:
    """Explain the score of a text with its references.

    Raises TaskError for a metric that is not in EXPLAINED, for wrong options, and without references.
    """
    if spec.name not in EXPLAINED:
        raise TaskError(f"metric {spec.name}", "has no explanation", f"{', '.join(EXPLAINED)} have one")
    if not references:
        raise TaskError(f"metric {spec.id}", "there is no reference", "one or more would be right")
    metric = build(spec)
    signature = metric.signature
    if isinstance(metric, Mean) and metric.look is not None:
        return _observed(metric, metric.look, output, references)
    if spec.name == "bleu":
        return _bleu(spec, signature, output, references)
    return _rouge(spec, signature, output, references)


def _observed(metric: Mean, look: Look, output: str, references: Sequence[str]) -> Explanation:
    try:
        observations = tuple(look(references, output))
    except ValueError as problem:
        raise TaskError(f"metric {metric.id}", f"cannot read the references: {problem}", OWN) from None
    example = Example(id="", unit="", prompt="", references=tuple(references))
    response = Generation(request_id="", text=output, finish_reason="eos", tokens=0)
    score = metric.value(Prediction(example=example, response=response, text=output))
    return Explanation(
        metric=metric.id,
        signature=metric.signature,
        measures={"score": score},
        reference=None,
        observations=observations,
    )


def _rouge(spec: MetricSpec, signature: str, output: str, references: Sequence[str]) -> Explanation:
    stemmed = spec.options.get("use_stemmer") is True
    best = max(references, key=lambda reference: rouge_counts(spec.name, output, reference, stemmed).f_measure)
    counts = rouge_counts(spec.name, output, best, stemmed)
    ours, theirs = rouge_words(output, stemmed), rouge_words(best, stemmed)
    order = spec.name.removeprefix("rouge")
    subsequence: tuple[str, ...] = ()
    if order == "L":
        matched = matched_places(places(theirs), len(theirs), ours)
        subsequence = tuple(word for place, word in enumerate(theirs) if matched >> place & 1)
    measures = {
        "matches": counts.matches,
        "output": counts.output,
        "reference": counts.reference,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f_measure,
    }
    return Explanation(
        metric=spec.id,
        signature=signature,
        measures=measures,
        reference=best,
        matches=_matches(ours, [theirs], int(order)) if order.isdigit() else (),
        subsequence=subsequence,
    )


def _bleu(spec: MetricSpec, signature: str, output: str, references: Sequence[str]) -> Explanation:
    words = words_of(spec)
    ours, theirs = words(output), [words(reference) for reference in references]
    sums = np.array(statistics(ours, theirs), dtype=np.float64)
    matches = [each for order in range(1, ORDERS + 1) for each in _matches(ours, theirs, order)]
    return Explanation(
        metric=spec.id,
        signature=signature,
        measures={**bleu_parts(sums), "bleu": float(corpus_bleu(sums))},
        reference=None,
        matches=tuple(matches),
    )


def _matches(output: Sequence[str], references: Sequence[Sequence[str]], order: int) -> tuple[GramMatch, ...]:
    """Return the n-grams that the output shares with any reference, in the order of the output, with their largest
    count in one reference.
    """
    ours, theirs = Counter(ngrams(output, order)), [Counter(ngrams(each, order)) for each in references]
    both = ((gram, often, max(each[gram] for each in theirs)) for gram, often in ours.items())
    return tuple(GramMatch(" ".join(gram), often, most, min(often, most)) for gram, often, most in both if most)
