"""Choice metrics against lm-evaluation-harness 0.4.13's own scoring of the same log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Ranking
from evalharness.records.tasks import MetricSpec


def predicted(logprobs, choices, gold, greedy=None, scores=()):
    example = Example(id="0", unit="0", prompt="q", choices=tuple(choices), gold=tuple(gold), scores=tuple(scores))
    ranking = Ranking(
        request_id="r",
        logprobs=tuple(logprobs),
        tokens=tuple(1 for _ in logprobs),
        greedy=tuple(greedy or [False] * len(logprobs)),
    )
    return Prediction(example=example, response=ranking, choice=int(np.argmax(logprobs[: len(choices)])))


def value(name, prediction, **options):
    return build(MetricSpec(id=name, name=name, options=options)).row(prediction)[0]


# multiple_choice of lm-eval 0.4.13, api/task.py: process_results of a task whose choices and gold are columns of the
# row.
def by_lm_eval(task, logprobs, choices, gold):
    return task.process_results({"choices": list(choices), "gold": gold}, [(logprob, False) for logprob in logprobs])


@pytest.fixture(scope="module")
def lm_eval_task():
    api = pytest.importorskip("lm_eval.api.task")

    class Bare(api.ConfigurableTask):
        def __init__(self):
            self._config = api.TaskConfig(
                task="bare", output_type="multiple_choice", doc_to_choice="choices", doc_to_target="gold"
            )
            self.OUTPUT_TYPE = "multiple_choice"
            self._metric_fn_list = dict.fromkeys(["acc", "acc_norm", "acc_bytes", "brier_score", "acc_mutual_info"])
            self.multiple_input, self.multiple_target = 0, 0

        def doc_to_choice(self, doc, doc_to_choice=None):
            return doc["choices"]

        def doc_to_target(self, doc, doc_to_target=None):
            return doc["gold"]

    return Bare()


cases = st.integers(2, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([-0.5, -1.0, -2.0, -3.25, -8.0, -20.5]), min_size=n, max_size=n),
        st.lists(st.text(st.sampled_from("ab éß漢"), min_size=1, max_size=6), min_size=n, max_size=n),
        st.integers(0, n - 1),
    )
)


@given(case=cases, draw=st.data())
def test_single_gold_as_lm_eval(lm_eval_task, case, draw):
    logprobs, choices, gold = case
    alone = draw.draw(st.lists(st.sampled_from([-0.5, -1.0, -2.5, -7.0]), min_size=len(choices), max_size=len(choices)))
    theirs = by_lm_eval(lm_eval_task, [*logprobs, *alone], choices, gold)
    ours = predicted([*logprobs, *alone], choices, [gold])
    for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info"):
        assert value(name, ours) == theirs[name], name
    probabilities = theirs["brier_score"][1]
    assert value("brier_score", ours) == pytest.approx(float(((probabilities - np.eye(len(choices))[gold]) ** 2).sum()))


def test_several_golds_count_and_first_of_equals_is_taken():
    assert value("acc", predicted([-2, -1, -1], "xyz", [1])) == 1
    assert value("acc", predicted([-2, -1, -1], "xyz", [2])) == 0
    assert value("acc", predicted([-2, -1, -3], "xyz", [0, 1])) == 1
    assert value("acc_norm", predicted([-4, -3], ["aaaa", "b"], [0])) == 1
    assert value("acc_norm", predicted([-4, -3], ["aaaa", "b"], [1])) == 0


def test_an_empty_choice_is_never_chosen_by_length():
    assert value("acc_norm", predicted([-1, -9], ["", "long"], [1])) == 1


def test_one_continuation_is_right_where_greedy_decoding_gives_it():
    assert value("acc", predicted([-3], ["word"], [0], greedy=[True])) == 1
    assert value("acc", predicted([-3], ["word"], [0], greedy=[False])) == 0


def test_brier_stays_in_its_bounds():
    assert value("brier_score", predicted([0, -900], "ab", [0])) == 0
    assert value("brier_score", predicted([0, -900], "ab", [1])) == 2


def test_mutual_information_needs_every_choice_asked_without_context_too():
    assert value("acc_mutual_info", predicted([-1, -2, -0.5, -4], "ab", [1])) == 1
    assert value("acc", predicted([-1, -2, -0.5, -4], "ab", [1])) == 0
    assert value("acc_mutual_info", predicted([-1, -2, -3, -4], "ab", [0, 1])) == 1
    with pytest.raises(TaskError, match="has 2 choices and 0 of them without context; ask every choice once more"):
        value("acc_mutual_info", predicted([-1, -2], "ab", [1]))


@given(
    st.lists(st.tuples(st.sampled_from([-1.0, -2.0, -3.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_grade_is_the_worth_of_the_first_best_choice(choices, fractional):
    logprobs, scores = zip(*choices, strict=True)
    # What BIG-bench's multiple_choice_grade says in words: the target score of the choice with the highest
    # log-probability.
    best, worth = max(zip(logprobs, [-index for index in range(len(scores))], scores, strict=True))[::2]
    assert best == max(logprobs)
    prediction = predicted(logprobs, "a" * len(choices), [0], scores=scores)
    metric = build(MetricSpec(id="grade", name="multiple_choice_grade", options={"fractional": fractional}))
    assert metric.row(prediction) == (worth, 1.0)
    assert metric.kind == ("graded" if fractional else "binary")


def test_a_grade_without_scores_is_accuracy_and_a_fraction_must_be_expected():
    for gold in ([0], [1], [0, 1]):
        prediction = predicted([-1, -2, -3], "abc", gold)
        assert value("multiple_choice_grade", prediction) == value("acc", prediction)
    half = predicted([-1, -2], "ab", [1], scores=[0.5, 1.0])
    assert value("multiple_choice_grade", half, fractional=True) == 0.5
    with pytest.raises(TaskError, match=r"a choice of example 0 is worth 0\.5; 0 and 1 .`fractional: true`"):
        value("multiple_choice_grade", half)
    with pytest.raises(TaskError, match=r"a choice of example 0 is worth 0\.5"):  # whichever choice a model picks
        value("multiple_choice_grade", predicted([-2, -1], "ab", [1], scores=[0.5, 1.0]))
    with pytest.raises(TaskError, match="is worth 2; numbers from 0 to 1"):
        value("multiple_choice_grade", predicted([-1, -2], "ab", [0], scores=[2, 0]), fractional=True)
    with pytest.raises(TaskError, match="fractional is 1; true or false"):
        build(MetricSpec(id="grade", name="multiple_choice_grade", options={"fractional": 1}))


@given(cases)
def test_an_oracle_reaches_the_best_and_its_opposite_the_worst(case):
    _, choices, gold = case
    right = [0.0 if index == gold else -900.0 for index in range(len(choices))]
    wrong = [-900.0 if index == gold else 0.0 for index in range(len(choices))]
    for name in ("acc", "acc_norm", "acc_bytes", "multiple_choice_grade"):
        assert (value(name, predicted(right, choices, [gold])), value(name, predicted(wrong, choices, [gold]))) == (
            1,
            0,
        ), name
    alone = [-1.0] * len(choices)
    assert value("acc_mutual_info", predicted([*right, *alone], choices, [gold])) == 1
    assert value("acc_mutual_info", predicted([*wrong, *alone], choices, [gold])) == 0


def test_no_options():
    with pytest.raises(TaskError, match="unknown option 'normalise'; it takes none"):
        build(MetricSpec(id="acc", name="acc", options={"normalise": True}))
