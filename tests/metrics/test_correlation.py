"""Correlations against scipy's, and the number that is read out of ranked choices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.metrics.correlation import correlation
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Ranking
from evalharness.records.tasks import MetricSpec

PEARSON, SPEARMAN = build(MetricSpec(id="pearson", name="pearson")), build(MetricSpec(id="spearman", name="spearman"))
GRADES = ("0", "1", "2", "3", "4", "5")


def predicted(logprobs, value, choices=GRADES):
    example = Example(id="0", unit="0", prompt="", choices=tuple(choices), gold=(0,), value=value)
    return Prediction(
        example=example,
        response=Ranking(request_id="r", logprobs=tuple(logprobs), tokens=(), greedy=()),
        choice=int(np.argmax(logprobs)),
    )


def says(number, value):
    """A model that is certain of a grade."""
    return predicted([0.0 if index == number else -900.0 for index in range(6)], value)


def of(predictions):
    return float(PEARSON.score(np.array([PEARSON.row(each) for each in predictions]).sum(0))), SPEARMAN.point(
        predictions
    )


rankings = st.lists(st.floats(-30, 0, allow_nan=False), min_size=6, max_size=6)
grades = st.sampled_from([0.0, 1.25, 2.5, 3.8, 3.8000001, 5.0])


@given(st.lists(st.tuples(rankings, grades), min_size=2, max_size=20))
def test_as_scipy(rows):
    predictions = [predicted(logprobs, value) for logprobs, value in rows]
    x = np.array([softmax(logprobs) @ np.arange(6.0) for logprobs, _ in rows])
    y = np.array([value for _, value in rows])
    assume(x.std() > 1e-4 and y.std() > 1e-4)
    pearson, spearman = of(predictions)
    assert pearson == pytest.approx(pearsonr(x, y).statistic, abs=1e-6)
    # Numbers that are equal but for rounding may tie on one side only: ranks are compared where none are that near.
    near = np.diff(np.sort(x))
    assume(((near == 0) | (near > 1e-9)).all())
    read = [PEARSON.row(each)[1] for each in predictions]
    assert spearman == pytest.approx(spearmanr(read, y).statistic, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.5, 5.0])), min_size=2, max_size=25))
def test_ties_as_scipy(rows):
    numbers, values = zip(*rows, strict=True)
    pearson, spearman = of([says(*row) for row in rows])
    if len(set(numbers)) == 1 or len(set(values)) == 1:
        assert (pearson, spearman) == (0, 0)  # scipy: not a number
    else:
        assert pearson == pytest.approx(pearsonr(numbers, values).statistic, abs=1e-9)
        assert spearman == pytest.approx(spearmanr(numbers, values).statistic, abs=1e-12)


def test_an_oracle_reaches_1_and_its_opposite_minus_1():
    values = [0.0, 1.0, 3.0, 5.0]
    assert of([says(value, value) for value in values]) == (pytest.approx(1), pytest.approx(1))
    assert of([says(5 - value, value) for value in values]) == (pytest.approx(-1), pytest.approx(-1))


def test_one_example_none_and_a_constant_score_0_without_noise():
    assert of([says(1, 4.0)]) == (0, 0)
    assert SPEARMAN.point([]) == 0
    undecided = predicted([-1.1] * 6, 0.1)  # 2.5, in whatever way it is rounded
    assert of([undecided] * 3 + [predicted([-1.1] * 6, 0.3)] * 4) == (0, 0)
    assert of([says(1, 0.1), says(2, 0.1), says(4, 0.1)]) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), grades), min_size=4, max_size=20))
def test_stacks_are_scored_as_single_sums_and_stay_in_bounds(rows):
    table = np.array([PEARSON.row(says(*row)) for row in rows])
    weights = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=(2, 5))
    sums = weights @ table
    stacked = correlation(sums)
    assert stacked.shape == (2, 5) and (np.abs(stacked) <= 1).all()
    assert stacked[1, 2] == correlation(sums[1, 2])


def test_what_cannot_be_read_as_numbers_is_refused():
    with pytest.raises(TaskError, match="the choice 'good' of example 0 is no number"):
        PEARSON.row(predicted([-1, -2], 1.0, ["good", "1"]))
    with pytest.raises(TaskError, match="the choice 'nan' of example 0 is no number"):
        SPEARMAN.point([predicted([-1, -2], 1.0, ["nan", "1"])])
    with pytest.raises(TaskError, match=r"example 0 asks for no number; state `metadata\.value`"):
        PEARSON.row(predicted([-1, -2], None, ["0", "1"]))
    assert PEARSON.row(predicted([0.0, 0.0], 3.0, [" 2.5", "-1"]))[1] == 0.75
