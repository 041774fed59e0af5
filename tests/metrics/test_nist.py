"""NIST against nltk's for one reference each, and against the sums of mteval-v13a written out for several."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.nist_score import corpus_nist

from evalharness.errors import TaskError
from evalharness.metrics.base import OpaqueMetric
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

words = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "über", "猫"]), max_size=8)


def nist(corpus, **options):
    predictions = [
        Prediction(
            example=Example(id="0", unit="0", prompt="", references=tuple(references)),
            response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
            text=text,
        )
        for text, references in corpus
    ]
    return build(MetricSpec(id="nist", name="nist", options=options)).point(predictions)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5), st.integers(1, 5))
def test_one_reference_each_as_nltk(pairs, longest):
    corpus = [(" ".join(output), [" ".join(reference)]) for output, reference in pairs]
    most = min(longest, max(len(output) for output, _ in pairs))  # nltk divides by zero where an order has no n-gram
    expected = 0.0
    if most and any(reference for _, reference in pairs):
        expected = corpus_nist([[reference] for _, reference in pairs], [output for output, _ in pairs], most)
    assert nist(corpus, n=longest) == pytest.approx(expected, abs=1e-9)


def grams(tokens, order):
    return [tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1)]


def as_mteval(corpus, longest):
    """The loops of the script's `compute_ngram_info`, `score_segment` and `nist_score`, one n-gram at a time."""
    count, total = Counter(), 0
    for _, references in corpus:
        for reference in references:
            total += len(reference)
            for order in range(1, longest + 1):
                count.update(grams(reference, order))
    result = 0.0
    for order in range(1, longest + 1):
        info = there = 0
        for output, references in corpus:
            written = grams(output, order)
            there += len(written)
            for gram in set(written):
                matches = min(written.count(gram), max(grams(reference, order).count(gram) for reference in references))
                if matches:
                    before = count[gram[:-1]] if order > 1 else total
                    info += matches * -math.log(count[gram] / before) / math.log(2)
        result += info / there if there else 0
    written = sum(len(output) for output, _ in corpus)
    right = sum(sum(map(len, references)) / len(references) for _, references in corpus)
    if not written or not right:
        return 0.0
    ratio = written / right
    return result * (1 if ratio >= 1 else math.exp(-math.log(2) / math.log(1.5) ** 2 * math.log(ratio) ** 2))


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=4), st.integers(1, 5))
def test_several_references_as_mteval(corpus, longest):
    texts = [(" ".join(output), [" ".join(reference) for reference in references]) for output, references in corpus]
    assert nist(texts, n=longest) == pytest.approx(as_mteval(corpus, longest), abs=1e-9)


def test_lower_case_unless_asked_otherwise_as_the_script():
    assert nist([("The Cat", ["the cat sat"])]) > 0 == nist([("The Cat", ["the cat sat"])], case_sensitive=True)


def test_what_has_nothing_to_score_scores_0():
    assert (
        nist([]) == nist([("", ["a b"])]) == nist([(None, ["a b"])]) == nist([("a b", [""])]) == nist([("", [""])]) == 0
    )


def test_it_is_opaque_and_signs_its_settings():
    metric = build(MetricSpec(id="nist", name="nist", options={"n": 4, "case_sensitive": True}))
    assert isinstance(metric, OpaqueMetric) and (metric.kind, metric.width) == ("opaque", 0)
    assert metric.signature.startswith("nist|n:4|case:mixed|refs:mteval|tok:13a|sacrebleu:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "from 1 to 10"),
        ({"n": True}, "from 1 to 10"),
        ({"case_sensitive": 1}, "true or false"),
        ({"order": 3}, "unknown option"),
    ],
)
def test_refuses_wrong_options(options, message):
    with pytest.raises(TaskError, match=message):
        build(MetricSpec(id="nist", name="nist", options=options))
