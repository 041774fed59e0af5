"""Perplexities and bits per byte against lm-evaluation-harness 0.4.13: its counts of words and bytes, and its
aggregations.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api import metrics as lm_eval
from lm_eval.api.task import Task

from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Ranking, Scoring
from evalharness.records.tasks import MetricSpec

ROLLING = {
    "word_perplexity": (Task.count_words, lm_eval.weighted_perplexity),
    "byte_perplexity": (Task.count_bytes, lm_eval.weighted_perplexity),
    "bits_per_byte": (Task.count_bytes, lm_eval.bits_per_byte),
}
texts = st.text(st.sampled_from("ab é漢к.,\n\t\u00a0\u3000"), max_size=12)


def metric(name):
    return build(MetricSpec(id=name, name=name))


def scored(text, logprob):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=(text,)),
        response=Scoring(request_id="r", logprob=logprob, tokens=3),
    )


def continued(logprob):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", choices=("x",), gold=(0,), references=("x",)),
        response=Ranking(request_id="r", logprobs=(logprob,), tokens=(1,), greedy=(False,)),
        choice=0,
    )


def score(of, predictions):
    return float(of.score(np.array([of.row(prediction) for prediction in predictions]).sum(0)))


@given(st.lists(st.tuples(texts, st.floats(-60, 0)), min_size=1, max_size=8))
def test_whole_texts_as_lm_eval(rows):
    for name, (count, aggregate) in ROLLING.items():
        items = [(logprob, count(text)) for text, logprob in rows]
        ours = score(metric(name), [scored(text, logprob) for text, logprob in rows])
        if sum(pieces for _, pieces in items) == 0:
            assert ours == 0  # lm-eval divides by zero
        else:
            assert ours == pytest.approx(aggregate(items), rel=1e-9), name


@given(st.lists(st.floats(-60, 0), min_size=1, max_size=8))
def test_continuations_as_lm_eval(logprobs):
    assert score(metric("perplexity"), [continued(logprob) for logprob in logprobs]) == pytest.approx(
        lm_eval.perplexity(logprobs), rel=1e-9
    )


def test_texts_weigh_by_their_length():
    both = [scored("one two three", -9.0), scored("four", -1.0)]
    assert score(metric("word_perplexity"), both) == pytest.approx(math.exp(10 / 4))
    assert score(metric("byte_perplexity"), [scored("漢", -3.0)]) == pytest.approx(math.e)
    assert score(metric("bits_per_byte"), [scored("abc", -3 * math.log(2))]) == pytest.approx(1)


def test_certainty_is_the_lowest_and_nothing_is_the_highest():
    for name in (*ROLLING, "perplexity"):
        of = metric(name)
        sure = continued(0.0) if name == "perplexity" else scored("text", 0.0)
        assert score(of, [sure]) == of.low and not of.higher_is_better
    guess = scored("text", 4 * math.log(1 / 256))
    for name, worth in (("byte_perplexity", 256), ("bits_per_byte", 8)):
        assert score(metric(name), [guess]) == pytest.approx(worth) and metric(name).high == math.inf


def test_no_text_scores_0_and_the_worst_is_still_a_number():
    for name in (*ROLLING, "perplexity"):
        of = metric(name)
        assert of.score(np.zeros((3, 2))).tolist() == [0, 0, 0]
        worst = of.score(np.array([-1e9, 1.0]))
        assert np.isfinite(worst) and np.isfinite(worst**3)
    assert score(metric("byte_perplexity"), [scored("", 0.0)]) == 0
