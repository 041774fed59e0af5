"""Which choices are picked, against the total variation distance written out with numpy from all examples at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import MetricFacts, Prediction
from evalharness.records.requests import Example, Ranking
from evalharness.records.tasks import MetricSpec

LETTERS = ["A", "B", "C", "D"]


def metric(choices=LETTERS):
    return build(MetricSpec(id="selection_bias", name="selection_bias", options={"choices": list(choices)}))


def picked(choice, gold, choices=LETTERS):
    logprobs = tuple(-1.0 if i == choice else -2.0 for i in range(len(choices)))
    return Prediction(
        example=Example(id="0", unit="0", prompt="", choices=tuple(choices), gold=gold),
        response=Ranking(request_id="r", logprobs=logprobs, tokens=(), greedy=()),
        choice=choice,
    )


def score(of, predictions):
    return float(of.score(np.sum([of.row(prediction) for prediction in predictions], axis=0)))


def test_always_the_same_letter_and_always_the_right_one():
    assert score(metric(), [picked(0, (right,)) for right in range(4)]) == 0.75
    assert score(metric(), [picked(right, (right,)) for right in (0, 0, 3)]) == 0.0
    assert score(metric(), [picked((right + 1) % 4, (right,)) for right in range(4)]) == 0.0  # wrong, and evenly so


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 3), min_size=1)), min_size=1, max_size=40))
def test_as_the_distance_of_two_histograms(examples):
    picks = np.bincount([pick for pick, _ in examples], minlength=4) / len(examples)
    rights = np.mean([[(place in gold) / len(gold) for place in range(4)] for _, gold in examples], axis=0)
    found = score(metric(), [picked(pick, tuple(gold)) for pick, gold in examples])
    assert found == pytest.approx(0.5 * np.linalg.norm(picks - rights, ord=1))
    assert 0 <= found <= 1


def test_rows_are_scored_again_from_stored_facts():
    of = metric(["no", "yes"])
    stored = json.loads(
        json.dumps(
            facts_of(
                MetricSpec(id="selection_bias", name="selection_bias", options={"choices": ["no", "yes"]}), of
            ).options
        )
    )
    facts = MetricFacts(
        id="selection_bias",
        name="selection_bias",
        options=stored,
        kind="corpus",
        low=0.0,
        high=1.0,
        higher_is_better=False,
        signature=of.signature,
    )
    rows = np.array([of.row(picked(1, (right,), ["no", "yes"])) for right in (0, 1, 0)])
    assert rows.shape == (3, 4)
    assert float(from_facts(facts).score(rows.sum(0))) == pytest.approx(2 / 3)
    assert from_facts(facts).score(np.zeros((5, 4))).tolist() == [0.0] * 5


def test_other_choices_and_wrong_options_are_refused():
    with pytest.raises(TaskError, match="has 2 choices instead of 4"):
        metric().row(picked(0, (0,), ["no", "yes"]))
    for wrong in ({}, {"choices": ["A"]}, {"choices": "AB"}, {"choices": [0, 1]}):
        with pytest.raises(TaskError, match="two or more texts"):
            build(MetricSpec(id="selection_bias", name="selection_bias", options=wrong))
