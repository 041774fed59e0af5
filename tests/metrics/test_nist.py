"""NIST against values that nltk publishes, and against the formula of Doddington (2002) written out for one reference
each.
"""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# The example in the documentation of nltk.translate.nist_score.sentence_nist, which gives 3.3709 and 1.4619.
OUTPUTS = (
    "It is a guide to action which ensures that the military always obeys the commands of the party",
    "It is to insure the troops forever hearing the activity guidebook that party direct",
)
REFERENCES = (
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
)


@pytest.mark.parametrize(("output", "expected"), [(OUTPUTS[0], 3.3709), (OUTPUTS[1], 1.4619)])
def test_the_published_example(output, expected):
    assert nist([(output, REFERENCES)], case_sensitive=True) == pytest.approx(expected, abs=1e-4)
    assert nist([(output, REFERENCES)]) != pytest.approx(
        expected, abs=1e-4
    )  # lower case unless asked otherwise, as the NIST script


def grams(tokens, order):
    return Counter(tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1))


def by_the_formula(pairs, longest):
    counts = Counter()
    for _, reference in pairs:
        for order in range(1, longest + 1):
            counts += grams(reference, order)
    counts[()] = sum(len(reference) for _, reference in pairs)
    total = 0.0
    for order in range(1, longest + 1):
        gained = sum(
            count * math.log2(counts[gram[:-1]] / counts[gram])
            for output, reference in pairs
            for gram, count in (grams(output, order) & grams(reference, order)).items()
        )
        total += gained / max(1, sum(grams(output, order).total() for output, _ in pairs))
    written, right = sum(len(output) for output, _ in pairs), counts[()]
    if not written or not right:
        return 0.0
    return total * math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(min(1, written / right)) ** 2)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5), st.integers(1, 5))
def test_one_reference_each_as_the_formula(pairs, longest):
    corpus = [(" ".join(output), [" ".join(reference)]) for output, reference in pairs]
    assert nist(corpus, n=longest) == pytest.approx(by_the_formula(pairs, longest), abs=1e-9)


def test_what_has_nothing_to_score_scores_0():
    assert (
        nist([]) == nist([("", ["a b"])]) == nist([(None, ["a b"])]) == nist([("a b", [""])]) == nist([("", [""])]) == 0
    )


def test_it_is_opaque_and_signs_its_settings():
    metric = build(MetricSpec(id="nist", name="nist", options={"n": 4, "case_sensitive": True}))
    assert isinstance(metric, OpaqueMetric) and (metric.kind, metric.width) == ("opaque", 0)
    assert metric.signature.startswith("nist|n:4|case:mixed|tok:13a|nltk:")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "from 1 to 10"),
        ({"n": True}, "from 1 to 10"),
        ({"case_sensitive": 1}, "true or false"),
        ({"order": 3}, "unknown option"),
    ],
)
def test_refuses_wrong_options(options, said):
    with pytest.raises(TaskError, match=said):
        build(MetricSpec(id="nist", name="nist", options=options))
