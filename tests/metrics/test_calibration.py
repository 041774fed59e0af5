"""Expected calibration error against one computed bin by bin from all examples at once, against scikit-learn's
calibration curve, and against
torchmetrics where it is installed."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve

from evalharness.errors import TaskError
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Ranking
from evalharness.records.tasks import MetricSpec


def metric(**options):
    return build(MetricSpec(id="ece", name="ece", options=options))


def predicted(logprobs, gold):
    example = Example(
        id="0", unit="0", prompt="", choices=tuple(str(index) for index in range(len(logprobs))), gold=(gold,)
    )
    return Prediction(
        example=example,
        response=Ranking(request_id="r", logprobs=tuple(logprobs), tokens=(), greedy=()),
        choice=int(np.argmax(logprobs)),
    )


def confident(share, right):
    """A choice of two, the first with this probability."""
    return predicted(np.log([share, 1 - share]), 0 if right else 1)


def score(of, predictions):
    return float(of.score(np.array([of.row(prediction) for prediction in predictions]).sum(0)))


def bin_by_bin(logprobs, golds, bins):
    chances = np.array([softmax(row) for row in logprobs])
    confidence, right = chances.max(1), logprobs.argmax(1) == golds
    total, edges = 0.0, np.linspace(0, 1, bins + 1)
    for lower, upper in pairwise(edges):
        inside = (confidence > lower) & (confidence <= upper)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


rankings = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.tuples(st.lists(st.floats(-20, 0), min_size=n, max_size=n), st.integers(0, n - 1)), min_size=1, max_size=30
    )
)


@given(rankings, st.sampled_from([1, 5, 10, 15]))
def test_as_bin_by_bin(rows, bins):
    logprobs, golds = np.array([row for row, _ in rows]), np.array([gold for _, gold in rows])
    confidence = softmax(logprobs, axis=1).max(1)
    near = np.abs(confidence * bins - np.round(confidence * bins)) < 1e-9
    if near.any() and not (confidence[near] > 1 - 1e-9).all():
        return  # on an edge but for rounding: either bin is right
    ours = score(metric(bins=bins), [predicted(row, gold) for row, gold in rows])
    assert ours == pytest.approx(bin_by_bin(logprobs, golds, bins), abs=1e-9)


@pytest.mark.parametrize("bins", [5, 15])
def test_as_scikit_learns_calibration_curve(bins):
    """Its curve has the share of right answers and the mean confidence of every bin that is not empty: their distances,
    weighted by size.
    """
    rng = np.random.default_rng(bins)
    logprobs, golds = rng.normal(0, 2, (400, 3)), rng.integers(0, 3, 400)
    confidence, right = softmax(logprobs, axis=1).max(1), logprobs.argmax(1) == golds
    accurate, confident_in = calibration_curve(right, confidence, n_bins=bins)
    sizes = np.histogram(confidence, np.linspace(0, 1, bins + 1))[0]
    theirs = float(sizes[sizes > 0] @ np.abs(accurate - confident_in)) / 400
    assert score(metric(bins=bins), [predicted(*row) for row in zip(logprobs, golds, strict=True)]) == pytest.approx(
        theirs
    )


@pytest.mark.skipif(find_spec("torchmetrics") is None, reason="torchmetrics is not installed")
def test_as_torchmetrics():
    torch, functional = (
        importlib.import_module("torch"),
        importlib.import_module("torchmetrics.functional.classification"),
    )
    rng = np.random.default_rng(3)
    logprobs, golds = rng.normal(size=(200, 4)) * 2, rng.integers(0, 4, 200)
    theirs = functional.multiclass_calibration_error(
        torch.tensor(log_softmax(logprobs, 1)).exp(), torch.tensor(golds), 4, n_bins=10, norm="l1"
    )
    assert score(metric(), [predicted(row, gold) for row, gold in zip(logprobs, golds, strict=True)]) == pytest.approx(
        float(theirs), abs=1e-6
    )


def test_worked_by_hand():
    # Two at .95 of which one is right, one at .55 that is right: (2/3)·|.5 − .95| + (1/3)·|1 − .55|.
    found = score(metric(), [confident(0.95, True), confident(0.95, False), confident(0.55, True)])
    assert found == pytest.approx(2 / 3 * 0.45 + 1 / 3 * 0.45)


def test_certain_and_right_is_the_best_certain_and_wrong_the_worst():
    certain = [0.0, -900.0]
    assert score(metric(), [predicted(certain, 0)] * 5) == 0
    assert score(metric(), [predicted(certain, 1)] * 5) == 1
    assert score(metric(), [confident(0.5, True), confident(0.5, False)]) == pytest.approx(0)


def test_a_bin_holds_its_upper_edge():
    row = np.array(metric(bins=2).row(predicted([-1.0, -1.0], 0))).reshape(2, 3)
    assert row.tolist() == [[1, 0.5, 1], [0, 0, 0]]
    assert metric(bins=4).row(predicted([-1.0] * 4, 1)) == (1, 0.25, 0) + (0,) * 9


def test_several_right_choices_and_scores_again_from_facts():
    example = Example(id="0", unit="0", prompt="", choices=("a", "b", "c"), gold=(0, 2))
    prediction = Prediction(
        example=example, response=Ranking(request_id="r", logprobs=(-9.0, -8.0, -1.0), tokens=(), greedy=()), choice=2
    )
    ours = metric(bins=5)
    row = np.array(ours.row(prediction))
    assert row[-1] == 1
    assert from_facts(facts_of(MetricSpec(id="ece", name="ece", options={"bins": 5}), ours)).score(row) == ours.score(
        row
    )
    assert "bins:5" in ours.signature


def test_refuses_one_choice_and_wrong_options():
    with pytest.raises(TaskError, match="example 0 has 1 choice; 2 or more"):
        metric().row(predicted([-1.0], 0))
    for bins in (0, 101, True, 2.5):
        with pytest.raises(TaskError, match="from 1 to 100"):
            metric(bins=bins)
