"""Exact match against lm-evaluation-harness 0.4.13's `exact_match_hf_evaluate`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.metrics import exact_match_hf_evaluate

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec


def generated(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


texts = st.text(st.sampled_from("aAbB1 2.,!é$-\n"), max_size=6)
options = st.fixed_dictionaries(
    {},
    optional={
        "ignore_case": st.booleans(),
        "ignore_punctuation": st.booleans(),
        "ignore_numbers": st.booleans(),
        "regexes_to_ignore": st.just([",", r"\$", r"\.$"]),
    },
)


@given(texts, st.lists(texts, min_size=1, max_size=3), options)
def test_any_reference_as_lm_eval(text, references, given_options):
    theirs = exact_match_hf_evaluate([text] * len(references), references, **given_options)["exact_match"] > 0
    assert build(MetricSpec(id="em", name="exact_match", options=given_options)).row(generated(text, *references)) == (
        float(theirs),
        1.0,
    )


def test_an_empty_text_is_an_answer_and_no_text_is_none():
    metric = build(MetricSpec(id="em", name="exact_match"))
    assert metric.row(generated("", "x")) == (0, 1)
    assert metric.row(generated("", "")) == (1, 1)
    assert metric.row(generated(None, "")) == (0, 1)


def test_of_ranked_choices_the_greedy_one_matches():
    example = Example(id="0", unit="0", prompt="", choices=("a", "b"), gold=(1,))
    metric = build(MetricSpec(id="em", name="exact_match"))
    assert metric.row(
        Prediction(
            example=example,
            response=Ranking(request_id="r", logprobs=(-1, -2), tokens=(1, 1), greedy=(False, True)),
            choice=0,
        )
    ) == (1, 1)
    assert metric.row(
        Prediction(
            example=example,
            response=Ranking(request_id="r", logprobs=(-1, -2), tokens=(1, 1), greedy=(True, False)),
            choice=0,
        )
    ) == (0, 1)


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"ignore_cases": True}, "did you mean ignore_case"),
        ({"ignore_case": "yes"}, "true or false"),
        ({"regexes_to_ignore": "abc"}, "a list of regular expressions"),
        ({"regexes_to_ignore": ["("]}, "does not compile"),
    ],
)
def test_refuses_wrong_options(given_options, message):
    with pytest.raises(TaskError, match=message):
        build(MetricSpec(id="em", name="exact_match", options=given_options))
