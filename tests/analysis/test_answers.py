"""What is said of a row's answers: flags, counts of groups, and what the base cannot do of general ability."""

from __future__ import annotations

from typing import Any

import pytest
from measured_runs import MMLU, both, by_task, plan, task

from evalharness.analysis.answers import counts_of
from evalharness.analysis.comparison import compare
from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Flag

USUAL = AnswerCounts(answers=400, most_common="A", most_common_count=120, most_common_right=100)
ALWAYS_A = AnswerCounts(answers=400, most_common="A", most_common_count=392, most_common_right=100)


def spread(**counts: int) -> AnswerCounts:
    return AnswerCounts(answers=400, most_common="A", most_common_count=80, most_common_right=0, **counts)


@pytest.mark.parametrize(
    ("base", "candidate", "flags"),
    [
        (USUAL, USUAL, ()),
        (ALWAYS_A, USUAL, (Flag.CONSTANT_ANSWER,)),
        (USUAL, ALWAYS_A, (Flag.CONSTANT_ANSWER,)),
        (USUAL, spread(empty=40), (Flag.EMPTY_ANSWERS,)),
        (spread(cut_off=40), USUAL, (Flag.CUT_OFF,)),
        (spread(empty=39, cut_off=39), USUAL, ()),
    ],
)
def test_what_a_tenth_of_either_model_sets(
    base: AnswerCounts, candidate: AnswerCounts, flags: tuple[Flag, ...]
) -> None:
    facts = [task("t", answers={"base": base, "lora": candidate})]
    rows = by_task(compare(facts, both("t", 400, 300), plan()))
    said = {Flag.CONSTANT_ANSWER, Flag.EMPTY_ANSWERS, Flag.CUT_OFF}
    assert tuple(flag for flag in rows["t"].flags if flag in said) == flags
    counts = (base, candidate) if flags else (None, None)
    assert (rows["t"].base_answers, rows["t"].candidate_answers) == counts


def test_a_group_counts_the_answer_that_most_of_its_tasks_give() -> None:
    other = AnswerCounts(answers=400, most_common="B", most_common_count=130, most_common_right=100, empty=7)
    tasks = [task(name, answers={"base": of}) for name, of in (("m1", ALWAYS_A), ("m2", ALWAYS_A), ("m3", other))]
    assert counts_of(tasks, "base") == AnswerCounts(
        answers=1200, most_common="A", most_common_count=784, most_common_right=200, empty=7
    )
    assert counts_of(tasks, "lora") is None
    facts = [task(name, answers={"base": ALWAYS_A, "lora": USUAL}) for name in MMLU.tasks]
    measurements = [m for name in MMLU.tasks for m in both(name, 400, 100)]
    rows = by_task(compare(facts, measurements, plan(groups=(MMLU,))))
    assert all(Flag.CONSTANT_ANSWER in rows[name].flags for name in ("mmlu", *MMLU.tasks))


@pytest.mark.parametrize(
    ("right", "answers", "unable"),
    [
        (300, {"base": USUAL}, 0),
        (300, {"base": ALWAYS_A}, 1),
        (300, {"lora": ALWAYS_A}, 0),
        (300, {"base": spread(empty=380)}, 1),
        (300, {"base": spread(empty=50)}, 0),
        (100, {}, 1),
    ],
)
def test_general_ability_counts_the_units_that_the_base_cannot_do(
    right: int, answers: dict[str, Any], unable: int
) -> None:
    facts = [task("t", answers=answers), task("able")]
    rows = by_task(compare(facts, [*both("t", 400, right), *both("able", 400, 300)], plan()))
    general = rows["suite"].general
    assert general is not None and (general.units, general.unable) == (2, unable)
