"""Matthews correlation and F1 against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Ranking
from evalharness.records.tasks import MetricSpec

pytestmark = pytest.mark.filterwarnings(
    "ignore:A single label was found:UserWarning"
)  # scikit-learn's, of its own reference value


def rows_of(metric, golds, choices, classes=2):
    texts = tuple(str(index) for index in range(classes))
    return np.array(
        [
            metric.row(
                Prediction(
                    example=Example(id="0", unit="0", prompt="", choices=texts, gold=(g,)),
                    response=Ranking(request_id="r", logprobs=(), tokens=(), greedy=()),
                    choice=c,
                )
            )
            for g, c in zip(golds, choices, strict=True)
        ]
    )


def labels(classes):
    pair = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    return st.lists(pair, min_size=1, max_size=40).map(lambda pairs: tuple(map(list, zip(*pairs, strict=True))))


@given(labels(2))
def test_binary_as_scikit_learn(both):
    golds, choices = both
    mcc, f1 = build(MetricSpec(id="mcc", name="mcc")), build(MetricSpec(id="f1", name="f1"))
    assert mcc.score(rows_of(mcc, golds, choices).sum(0)) == pytest.approx(matthews_corrcoef(golds, choices), abs=1e-12)
    assert f1.score(rows_of(f1, golds, choices).sum(0)) == pytest.approx(
        f1_score(golds, choices, zero_division=0), abs=1e-12
    )


@given(labels(4))
def test_several_classes_as_scikit_learn(both):
    golds, choices = both
    mcc = build(MetricSpec(id="mcc", name="mcc", options={"classes": 4}))
    f1 = build(MetricSpec(id="f1", name="f1", options={"classes": 4, "average": "macro"}))
    assert mcc.score(rows_of(mcc, golds, choices, 4).sum(0)) == pytest.approx(
        matthews_corrcoef(golds, choices), abs=1e-12
    )
    theirs = f1_score(golds, choices, average="macro", zero_division=0)
    assert f1.score(rows_of(f1, golds, choices, 4).sum(0)) == pytest.approx(theirs, abs=1e-12)
    micro = build(MetricSpec(id="f1,micro", name="f1", options={"classes": 4, "average": "micro"}))
    theirs = f1_score(golds, choices, average="micro", zero_division=0)
    assert micro.score(rows_of(micro, golds, choices, 4).sum(0)) == pytest.approx(theirs, abs=1e-12)


@given(labels(2), st.sampled_from([0, 1]))
def test_f1a_is_the_f1_of_the_label_that_says_right(both, positive):
    golds, choices = both
    metric = build(MetricSpec(id="f1a", name="f1a", options={"positive": positive}))
    theirs = f1_score(golds, choices, pos_label=positive, zero_division=0)
    assert metric.score(rows_of(metric, golds, choices).sum(0)) == pytest.approx(theirs, abs=1e-12)
    assert f"positive:{positive}" in metric.signature


# CommitmentBank's metric is the unweighted mean of the three classes' F1: lm-eval's cb task. A class that is neither
# gold nor chosen counts 0
# there; it is left out here, as scikit-learn has it for the labels that occur. On its 56 rows all three classes are
# gold.
@given(labels(3))
def test_macro_f1_is_commitment_banks(both):
    golds, choices = both
    macro = build(MetricSpec(id="f1,macro", name="f1", options={"classes": 3, "average": "macro"}))
    ours = float(macro.score(rows_of(macro, golds, choices, 3).sum(0)))
    per_class = [f1_score(np.array(golds) == label, np.array(choices) == label, zero_division=0) for label in range(3)]
    occurring = len({*golds, *choices})
    assert ours * occurring == pytest.approx(sum(per_class), abs=1e-12)


def test_an_oracle_reaches_the_best_and_its_opposite_the_worst():
    golds = [0, 1, 1, 0]
    for name, options in (
        ("f1", {}),
        ("f1a", {}),
        ("f1", {"average": "macro"}),
        ("f1", {"average": "micro"}),
        ("mcc", {}),
    ):
        metric = build(MetricSpec(id=name, name=name, options=options))
        assert metric.score(rows_of(metric, golds, golds).sum(0)) == metric.high == 1
        assert metric.score(rows_of(metric, golds, [1 - gold for gold in golds]).sum(0)) == metric.low


def test_scores_a_stack_of_sums_and_zero_rows():
    metric = build(MetricSpec(id="mcc", name="mcc"))
    scores = metric.score(np.array([[[5.0, 0, 0, 5], [0, 5, 5, 0]], [[0, 0, 0, 0], [3, 0, 0, 0]]]))
    assert scores.tolist() == [[1, -1], [0, 0]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mcc", {"classes": 1}, "from 2 to 100"),
        ("f1", {"classes": 3}, "macro"),
        ("f1", {"average": "weighted"}, "macro or micro"),
        ("f1", {"average": ["macro"]}, "macro or micro"),
        ("f1a", {"positive": 2}, "0 or 1"),
        ("f1a", {"positive": True}, "0 or 1"),
        ("f1a", {"positive": 1.0}, "0 or 1"),
        ("f1a", {"classes": 2}, "unknown option"),
        ("mcc", {"average": "macro"}, "unknown option"),
    ],
)
def test_refuses_options_that_mean_nothing(name, options, message):
    with pytest.raises(TaskError, match=message):
        build(MetricSpec(id=name, name=name, options=options))


def test_more_choices_than_stated_is_an_error_of_the_example():
    metric = build(MetricSpec(id="mcc", name="mcc"))
    with pytest.raises(TaskError, match="state `classes:`"):
        rows_of(metric, [2], [0], classes=3)
