"""Exact match and overlap of words of short answers, against the SQuAD scorer in lm-evaluation-harness 0.4.13's ReCoRD
task.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.tasks.super_glue.record.t5_utils import normalize_squad, squad_em_agg, squad_f1_agg

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

WORDS = [
    "The",
    "the",
    "a",
    "an",
    "cat",
    "Cat's",
    "U.S.",
    "-",
    "über",
    "ÜBER",
    "猫",
    "кот",
    "and",
    "theatre",
    "...",
    "3.5",
    "\n",
    "¿",
]
texts = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


def wrote(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


def picked(choice, choices, gold, tags=None):
    example = Example(id="0", unit="0", prompt="", choices=tuple(choices), gold=tuple(gold), tags=tags or {})
    return Prediction(
        example=example,
        response=Ranking(request_id="r", logprobs=(-1.0,) * len(choices), tokens=(), greedy=()),
        choice=choice,
    )


def value(name, prediction):
    row = build(MetricSpec(id=name, name=name)).row(prediction)
    assert row[1] == 1
    return row[0]


@given(texts, st.lists(texts, min_size=1, max_size=3))
def test_as_the_squad_scorer_max_over_references(text, references):
    exact = max(squad_em_agg([(text, f"0_{reference}")]) for reference in references)
    assert value("em", wrote(text, *references)) == exact
    shared = max(squad_f1_agg([(text, f"0_{reference}")]) for reference in references)
    wordless = not normalize_squad(text)  # that scorer is SQuAD 1.1's; 2.0's has nothing agree with nothing
    assert value("token_f1", wrote(text, *references)) == pytest.approx(exact if wordless else shared, abs=1e-12)
    assert value("em", wrote(text, *references)) <= value("token_f1", wrote(text, *references)) <= 1


@given(st.lists(texts, min_size=2, max_size=4), st.data())
def test_a_picked_choice_is_compared_as_if_it_were_written(choices, data):
    gold = data.draw(st.lists(st.integers(0, len(choices) - 1), min_size=1, max_size=2, unique=True))
    choice = data.draw(st.integers(0, len(choices) - 1))
    right = [choices[index] for index in gold]
    for name in ("em", "token_f1"):
        assert value(name, picked(choice, choices, gold)) == value(name, wrote(choices[choice], *right))


def test_spellings_of_a_right_name_are_right():
    assert value("em", picked(1, ["Ada Byron", "the ada-byron!", "Ada B."], [0])) == 0  # a hyphen joins words
    assert value("em", picked(1, ["Ada Byron", "the Ada  Byron!", "Ada B."], [0])) == 1
    assert value("token_f1", picked(2, ["Ada Byron", "the Ada Byron!", "Ada B."], [0])) == 0.5


def test_sentences_with_a_name_in_the_gap_are_compared_by_the_names():
    sentences, names = ["So said Ada Byron.", "So said Ada."], ["Ada Byron", "Ada"]
    tags = {"choice_names": json.dumps(names)}
    assert value("token_f1", picked(1, sentences, [0], tags)) == pytest.approx(2 / 3)
    assert value("token_f1", picked(1, sentences, [0])) == pytest.approx(6 / 7)
    assert value("em", picked(1, sentences, [1], tags)) == 1
    for wrong in ("Ada", '["Ada"]', "[1, 2]", '{"a": "b"}'):
        with pytest.raises(TaskError, match=r"label 'choice_names' of example 0 is .* a JSON list of 2 texts"):
            value("em", picked(1, sentences, [0], {"choice_names": wrong}))


def test_an_empty_answer_is_an_answer_and_no_answer_is_none():
    assert (value("em", wrote("", "x")), value("token_f1", wrote("", "x"))) == (0, 0)
    assert (value("em", wrote("the", "")), value("token_f1", wrote("the", ""))) == (1, 1)
    assert (value("em", wrote(None, "")), value("token_f1", wrote(None, ""))) == (0, 0)


def test_without_a_right_answer_nothing_can_be_said():
    with pytest.raises(TaskError, match="example 0 has no right answer"):
        value("em", wrote("x"))
