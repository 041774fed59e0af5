"""What written texts look like, against counts written out: sets of n-grams made with nltk, means with numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.util import ngrams

from evalharness.errors import TaskError
from evalharness.metrics.build import build, check_readable
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

EXAMPLE = Example(id="0-a", unit="0-a", prompt="?", references=("yes",))


def made(text, reason="stop", tokens=3, read="yes"):
    return Prediction(
        example=EXAMPLE, response=Generation(request_id="r", text=text, finish_reason=reason, tokens=tokens), text=read
    )


def metric(name, **options):
    return build(MetricSpec(id=name, name=name, options=options))


def score(of, predictions):
    return float(of.score(np.sum([of.row(prediction) for prediction in predictions], axis=0)))


@pytest.mark.fault(15)
@pytest.mark.parametrize(("text", "empty"), [("", 1.0), (" \n\t", 1.0), ("\u00a0", 1.0), (".", 0.0), (" yes ", 0.0)])
def test_empty_is_white_space_whatever_was_read_out_of_it(text, empty):
    assert metric("empty").row(made(text, read="[invalid]")) == (empty, 1.0)


def test_loops_repeat_and_sentences_do_not():
    assert score(metric("repetition"), [made("yes " * 20)]) == 1 - 1 / 17
    assert score(metric("repetition"), [made("the cat sat on the mat")]) == 0.0
    assert score(metric("repetition"), [made("yes yes yes")]) == 0.0  # no four words
    assert score(metric("repetition", n=1), [made("yes yes no")]) == pytest.approx(1 / 3)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c,", "d."]), max_size=20), min_size=1, max_size=8), st.integers(1, 5)
)
def test_repetition_as_by_nltks_ngrams(texts, n):
    """Welleck et al. 2020: 1 − |distinct n-grams| / |n-grams|, averaged over the texts."""
    grams = [list(ngrams(words, n)) for words in texts]
    expected = np.mean([1 - len(set(of)) / len(of) if of else 0.0 for of in grams])
    assert score(metric("repetition", n=n), [made(" ".join(words)) for words in texts]) == pytest.approx(expected)


@pytest.mark.fault(16)
@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["stop", "eos", "length"])), min_size=1, max_size=20))
def test_length_and_cut_are_means(texts):
    predictions = [made("x", reason, tokens) for tokens, reason in texts]
    assert score(metric("length", most=256), predictions) == pytest.approx(np.mean([tokens for tokens, _ in texts]))
    assert score(metric("cut"), predictions) == pytest.approx(np.mean([reason == "length" for _, reason in texts]))


def test_directions_and_ranges_are_stated():
    by_name = {name: metric(name) for name in ("empty", "repetition", "length", "cut")}
    assert {name: (each.kind, each.higher_is_better, each.high) for name, each in by_name.items()} == {
        "empty": ("binary", False, 1.0),
        "repetition": ("graded", False, 1.0),
        "length": ("graded", True, 128.0),
        "cut": ("binary", False, 1.0),
    }
    assert metric("length", most=7).row(made("x", tokens=9)) == (7.0, 1.0)  # nothing leaves the range


@pytest.mark.parametrize(
    ("name", "options"),
    [("repetition", {"n": 0}), ("repetition", {"n": True}), ("length", {"most": "9"}), ("empty", {"n": 1})],
)
def test_wrong_options_are_refused(name, options):
    with pytest.raises(TaskError, match=r"whole number from 1 up|unknown option"):
        metric(name, **options)


@pytest.mark.parametrize("name", ["empty", "repetition", "length", "cut"])
def test_a_ranking_is_no_text(name):
    with pytest.raises(TaskError, match="no generated text"):
        metric(name).row(
            Prediction(
                example=EXAMPLE,
                response=Ranking(request_id="r", logprobs=(-1.0,), tokens=(1,), greedy=(True,)),
                choice=0,
            )
        )
    with pytest.raises(TaskError, match="cannot read the answers of a multiple_choice task"):
        check_readable(MetricSpec(id=name, name=name), "multiple_choice")
