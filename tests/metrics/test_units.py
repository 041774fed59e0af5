"""All answers of a unit at once: MultiRC's exact match against lm-evaluation-harness's `acc_all`, and the parity of
pairs.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.metrics.base import ByUnit
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

EM, PARITY = build(MetricSpec(id="em_all", name="em_all")), build(MetricSpec(id="parity", name="parity"))


def judged(gold, choice, unit="0"):
    return Prediction(
        example=Example(id="0", unit=unit, prompt="", choices=("no", "yes"), gold=(gold,)),
        response=Ranking(request_id="r", logprobs=(0.0, 0.0), tokens=(1, 1), greedy=(False, False)),
        choice=choice,
    )


def share(metric, units):
    return float(metric.score(np.array([metric.unit_row(unit) for unit in units]).sum(0)))


answers = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30
)


@given(answers)
def test_as_lm_evals_acc_all(rows):
    metrics = pytest.importorskip("lm_eval.api.metrics")
    units = defaultdict(list)
    for paragraph, question, gold, choice in rows:
        units[paragraph, question].append(judged(gold, choice))
    docs = [
        {"idx": {"paragraph": paragraph, "question": question}, "label": gold} for paragraph, question, gold, _ in rows
    ]
    theirs = metrics.acc_all([(choice == 1, doc) for (*_, choice), doc in zip(rows, docs, strict=True)])
    assert share(EM, units.values()) == pytest.approx(theirs)


def test_a_question_is_right_where_all_of_its_answers_are():
    assert EM.unit_row([judged(0, 0), judged(1, 1)]) == (1, 1)
    assert EM.unit_row([judged(0, 0), judged(1, 0)]) == (0, 1)
    assert EM.row(judged(1, 1)) == EM.unit_row([judged(1, 1)]) == (1, 1)


def test_a_pair_has_parity_where_it_is_answered_alike_right_or_wrong():
    assert PARITY.unit_row([judged(0, 1), judged(0, 1)]) == (1, 1)
    assert PARITY.unit_row([judged(0, 0), judged(0, 1)]) == (0, 1)
    assert share(PARITY, [[judged(0, 0), judged(0, 0)], [judged(1, 0), judged(1, 1)]]) == 0.5


def test_half_a_pair_is_not_counted():
    assert PARITY.row(judged(1, 1)) == (0, 0)
    assert share(PARITY, [[judged(0, 0)], [judged(1, 0), judged(1, 1)]]) == 0
    assert share(PARITY, [[judged(0, 0)]]) == 0


def test_both_are_given_units_and_read_choices_only():
    written = Prediction(
        example=Example(id="0", unit="0", prompt="", references=("yes",)),
        response=Generation(request_id="r", text="yes", finish_reason="eos", tokens=1),
        text="yes",
    )
    for metric in (EM, PARITY):
        assert isinstance(metric, ByUnit) and (metric.kind, metric.width) == ("binary", 2)
        with pytest.raises(TaskError, match="it is for multiple_choice tasks"):
            metric.unit_row([written])
