"""What would decide an undecided row, in words that name the verdict, the assumption and the size of the set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalharness.analysis.phrases import in_short, leaning, would_decide
from evalharness.records.comparison import Comparison, Estimate, Flag, Level, StoppingState, WouldDecide
from evalharness.stats.enums import Assumption, Verdict

ROW = Comparison(
    task="boolq",
    family="superglue",
    level=Level.TASK,
    unit=True,
    metric="acc",
    primary=True,
    candidate="tuned",
    n=500,
    base=Estimate(value=0.7),
    candidate_score=Estimate(value=0.69),
    difference=Estimate(value=-0.01, low=-0.03, high=0.01),
    ci_level=0.9,
    margin=0.02,
    verdict=Verdict.INCONCLUSIVE,
    available=500,
)
KEPT: dict[str, Any] = {"verdict": Verdict.RETAINED, "assumption": Assumption.NOTHING_LOST}
SEEN: dict[str, Any] = {"verdict": Verdict.FORGOTTEN, "assumption": Assumption.AS_SEEN}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            {**KEPT, "examples": 34_750, "there": False},
            "about 34,750 examples would show “retained” with probability 0.8 if nothing is lost; "
            "the set has 500: this margin cannot be certified here",
        ),
        (
            {**KEPT, "examples": 480, "there": True},
            "about 480 examples would show “retained” with probability 0.8 if nothing is lost; the set has 500",
        ),
        (
            {**SEEN, "examples": None, "there": False},
            "more than 100,000 examples would show “forgotten” with probability 0.8 if the loss is what was seen; "
            "the set has 500: this loss cannot be shown here",
        ),
    ],
)
def test_verdict_number_assumption_and_size_of_the_set_are_named(what: dict[str, Any], words: str) -> None:
    row = replace(ROW, would_decide=WouldDecide(power=0.8, **what))
    assert (would_decide(row), leaning(row)) == (words, f"leans {what['verdict']}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "about 3,706 examples would show"),
        ({"n": 60, "examples": 60}, "about 3,706 examples would show"),
        ({"n": 60, "examples": 300}, "about 3,706 units (of 5 rows on average) would show"),
        ({"n": 60, "examples": 63, "repeated": 3}, "about 3,706 questions would show"),
        ({"n": 60, "examples": 63}, "about 3,706 units (of 1.05 rows on average) would show"),
        ({"n": 14_000, "examples": 14_003, "level": Level.SUITE}, "about 3,706 questions over all gate units would"),
    ],
)
def test_units_of_several_rows_are_not_called_examples(changes: dict[str, Any], words: str) -> None:
    what = WouldDecide(**KEPT, examples=3706, power=0.8, there=False)
    row = replace(ROW, would_decide=what, available=60, **changes)
    assert would_decide(row).startswith(words) and "; the set has 60: this margin" in would_decide(row)
    assert in_short(row) == f"leans retained: 3,706 {words.split()[2]}, the set has 60"


def test_a_suite_needs_examples_of_all_units_and_a_gain_is_no_loss() -> None:
    what = WouldDecide(**{**KEPT, "assumption": Assumption.AS_SEEN}, examples=900, power=0.8, there=False)
    row = replace(ROW, level=Level.SUITE, would_decide=what, difference=Estimate(value=0.2))
    assert "900 examples over all gate units would" in would_decide(row)
    assert "if the difference is what was seen" in would_decide(row)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flags": (Flag.BASE_AT_CHANCE,)}, "as long as the base does no better than guessing"),
        ({"flags": (Flag.MARGIN_EXCEEDS_SKILL,)}, "more than a fifth of what the base scores over chance"),
        ({"flags": (Flag.NO_RANGE,)}, "no finite range"),
        ({"flags": (Flag.SUITE_NOT_TESTED,)}, "a gate unit was stopped first"),
        ({"n": 0, "difference": None}, "nothing was measured"),
        (
            {"stopping": StoppingState(asked=60, planned=500, rounds=3, of=20, stopped=True)},
            "asked no further than 60 of 500 examples",
        ),
        (
            {"n": 1, "would_decide": WouldDecide(**KEPT, examples=None, power=0.8, there=False)},
            "too few to tell how many would show “retained”",
        ),
    ],
)
def test_where_no_number_is_given_it_is_said_why(changes: dict[str, Any], words: str) -> None:
    assert words in would_decide(replace(ROW, **changes))


@pytest.mark.parametrize("verdict", [Verdict.FORGOTTEN, Verdict.RETAINED, None])
def test_what_is_decided_or_never_judged_needs_nothing(verdict: Verdict | None) -> None:
    assert would_decide(replace(ROW, verdict=verdict)) == leaning(replace(ROW, verdict=verdict)) == ""
