"""Filters against lm-evaluation-harness 0.4.13's own, text by text."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.filters import build_filter_ensemble

from evalharness.errors import TaskError
from evalharness.tasks import filters

PIPELINES = [
    [{"function": "take_first"}],
    [{"function": "regex", "regex_pattern": r"(\-?[0-9]+)"}, {"function": "take_first"}],
    [
        {"function": "regex", "regex_pattern": r"answer is (\w+)|#(\d+)", "group_select": -1, "fallback": "none"},
        {"function": "take_first"},
    ],
    [{"function": "regex", "regex_pattern": r"(x)?(y)?"}, {"function": "take_first"}],
    [{"function": "regex"}, {"function": "take_first"}],
    [
        {"function": "lowercase"},
        {"function": "remove_whitespace"},
        {"function": "map", "mapping_dict": {"yes": "1", "no": "0"}, "default_value": "-1"},
    ],
    [{"function": "uppercase"}, {"function": "regex", "regex_pattern": "([A-D])"}, {"function": "lowercase"}],
]
texts = st.one_of(
    st.text(st.sampled_from("ab xyYES no12-#\n"), max_size=12),
    st.sampled_from(["The answer is B, answer is c", "#### 1,234.", " Yes\n", "", "NO"]),
)


def lm_evals_all(steps: list[Any], responses: list[list[str]], rows: list[dict[str, Any]]) -> list[str]:
    """What lm-eval scores of each request's responses."""
    named = [
        (step["function"], {key: value for key, value in step.items() if key != "function"} or None) for step in steps
    ]
    found: list[Any] = responses
    for make in build_filter_ensemble("f", named).filters:
        found = list(make().apply(found, rows))
    return [each if isinstance(each, str) else each[0] for each in found]


def lm_evals(steps: list[Any], responses: list[str]) -> str:
    return lm_evals_all(steps, [responses], [{}])[0]


@pytest.mark.parametrize("steps", PIPELINES)
@given(text=texts)
def test_the_text_is_lm_evals(steps: list[Any], text: str) -> None:
    assert filters.apply(steps, [text]).text == lm_evals(steps, [text])


MAJORITIES = [
    [{"function": "majority_vote"}, {"function": "take_first"}],
    [
        {"function": "regex", "regex_pattern": r"([a-c])", "fallback": "-"},
        {"function": "majority_vote"},
        {"function": "take_first"},
    ],
    [{"function": "take_first_k", "k": 2}, {"function": "majority_vote"}, {"function": "take_first"}],
    [{"function": "take_first_k", "k": 3}, {"function": "take_first"}],
]


@pytest.mark.parametrize("steps", MAJORITIES)
@given(answers=st.lists(st.sampled_from(["a", "b", "c is it", "a?", "none", ""]), min_size=3, max_size=7))
def test_votes_over_several_texts_are_lm_evals(steps: list[Any], answers: list[str]) -> None:
    filters.check(steps, repeats=3)
    assert filters.apply(steps, answers).text == lm_evals(steps, answers)


CHOICES = ["Guilty", "Guilty of Romance", "none of (these)", "B-side", "Guilty"]
LETTERS = [
    {},
    {"regex_pattern": r"(\([A-Z]\))"},
    {"regex_pattern": r"answer is (\w)|^(\w)$", "group_select": -1},
    {"regex_pattern": r"(\([A-Z]\))", "ignore_case": True, "ignore_punctuation": True},
    {"regex_pattern": "x+", "ignore_case": True, "regexes_to_ignore": [" of", "the "], "fallback": "?"},
]
TOLD = [
    "(B)",
    "Guilty",
    "guilty of romance!",
    "None of these.",
    "the answer is C",
    ": D",
    "is :A",
    "b-Side",
    "xx",
    "",
    " ",
    "«B»",
]


@pytest.mark.parametrize("options", LETTERS)
def test_letters_read_with_the_rows_choices_are_lm_evals(options: dict[str, Any]) -> None:
    steps, draw = [{"function": "multi_choice_regex", **options}, {"function": "take_first"}], random.Random(5)
    filters.check(steps)
    told = [(" ".join(draw.choices(TOLD, k=draw.randrange(5))), CHOICES[: draw.randrange(1, 6)]) for _ in range(400)]
    theirs = lm_evals_all(steps, [[text] for text, _ in told], [{"choices": choices} for _, choices in told])
    ours = [filters.apply(steps, [text], choices) for text, choices in told]
    assert [each.text for each in ours] == theirs
    assert [each.unparsed for each in ours] == [text == options.get("fallback", "[invalid]") for text in theirs]


def test_a_match_that_is_not_there_is_no_crash_as_in_lm_eval() -> None:
    steps = [{"function": "multi_choice_regex", "regex_pattern": "(x)", "group_select": 3}]
    assert filters.apply(steps, ["x Guilty"], ["Guilty"]) == filters.FilteredText("[invalid]", unparsed=True)
    assert filters.apply([{"function": "regex", "regex_pattern": "(x)", "group_select": 3}], ["x"]).unparsed


def test_what_could_not_be_read_is_marked() -> None:
    number = [{"function": "regex", "regex_pattern": r"(\d+)", "fallback": "?"}]
    assert filters.apply(number, ["no idea"]) == filters.FilteredText("?", unparsed=True)
    assert filters.apply(number, ["it is 42."]) == filters.FilteredText("42")
    assert filters.apply([*number, {"function": "lowercase"}], ["no idea"]).unparsed
    assert filters.apply([{"function": "map", "mapping_dict": {"a": 1}}], ["b"]) == filters.FilteredText(
        "", unparsed=True
    )
    assert filters.apply([{"function": "map", "mapping_dict": {"a": 1}}], ["a"]) == filters.FilteredText("1")
    assert filters.apply([], [""]) == filters.FilteredText("")


def test_the_rows_choices_are_texts() -> None:
    assert filters.choices_of({}) == ()
    assert filters.choices_of({filters.CHOICES_TAG: '["a", "b \\u003c"]'}) == ("a", "b <")
    with pytest.raises(TaskError, match="column 'choices' holds"):
        filters.choices_of({filters.CHOICES_TAG: "[1, 2]"})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"function": "regexp"}, "did you mean regex"),
        ({"function": "custom", "filter_fn": "f"}, "runs Python code"),
        ({"function": "format_span"}, "only Python code can score"),
        ({"function": "regex", "pattern": "x"}, "did you mean regex_pattern"),
        ({"function": "lowercase", "x": 1}, "it takes none"),
        ({"function": "regex", "regex_pattern": "("}, "does not compile"),
        ({"function": "regex", "group_select": "1"}, "whole number"),
        ({"function": "regex", "fallback": None}, "a text"),
        ({"function": "multi_choice_regex", "regexes_to_ignore": "x"}, "a list of regular expressions"),
        ({"function": "multi_choice_regex", "regexes_to_ignore": ["("]}, "regexes_to_ignore does not compile"),
        ({"function": "map", "mapping_dict": ["a"]}, "mapping of texts"),
        (
            {"function": "multi_choice_regex", "ignore_case": "yes"},
            "ignore_case of the filter 'multi_choice_regex' is 'yes'; true or false",
        ),
        ({"function": "written_choice", "letters": 1}, "letters of the filter"),
        ({"function": "take_first_k"}, "has k: None; a whole number from 1 to the task's repeats"),
        ({"function": "take_first_k", "k": 2}, "has k: 2"),
        ({}, "unknown filter None"),
        ("regex", "unknown filter None"),
    ],
)
def test_a_pipeline_that_cannot_run_is_refused(step: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        filters.check([step], "tasks/x.yaml")
    filters.check([{"function": "take_first"}])
