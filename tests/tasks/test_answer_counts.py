"""Which answer is the most common, by text or by place, and what is no answer."""

from __future__ import annotations

import pytest

from evalharness.records.answers import AnswerCounts
from evalharness.tasks.answer_counts import LONGEST, ReadAnswer, count_answers, picked_answer


def chosen(choices: tuple[str, ...], choice: int, gold: int) -> ReadAnswer:
    answer = picked_answer(choices, choice, (gold,))
    assert answer is not None
    return answer


def test_the_text_of_a_choice_counts_wherever_it_stands() -> None:
    counts = count_answers([chosen(("yes", "no"), 0, 0)] * 5 + [chosen(("no", "yes"), 1, 0)] * 5)
    assert counts == AnswerCounts(answers=10, most_common="yes", most_common_count=10, most_common_right=5)
    assert counts.constant and counts.shows_nothing


def test_choices_that_differ_from_row_to_row_are_counted_by_place() -> None:
    counts = count_answers([chosen((f"end {i}", f"other {i}"), 0, i % 2) for i in range(20)])
    assert counts == AnswerCounts(answers=20, most_common="choice 1", most_common_count=20, most_common_right=10)


def test_where_nothing_can_be_chosen_nothing_is_counted() -> None:
    assert picked_answer(("the only one",), 0, (0,)) is None and count_answers([]) is None


@pytest.mark.fault(15)
def test_empty_and_unreadable_texts_are_never_the_most_common_answer() -> None:
    counts = count_answers(
        [ReadAnswer("", ("x",), empty=True)] * 9
        + [ReadAnswer("[invalid]", ("x",), unreadable=True)] * 2
        + [ReadAnswer("w" * 500, ("x",), cut_off=True)]
    )
    assert counts is not None and counts.most_common == "w" * (LONGEST - 1) + "…"
    assert (counts.most_common_count, counts.empty, counts.unreadable, counts.cut_off) == (1, 9, 2, 1)
    assert counts.often_empty and counts.often_unreadable and not counts.often_cut_off and not counts.shows_nothing


def test_thresholds_are_nine_and_one_of_ten_from_ten_answers_on() -> None:
    def counts(answers: int, common: int, empty: int = 0) -> AnswerCounts:
        return AnswerCounts(
            answers=answers, most_common="a", most_common_count=common, most_common_right=0, empty=empty
        )

    assert counts(10, 9).constant and not counts(9, 9).constant and not counts(100, 89).constant
    assert counts(10, 0, 1).often_empty and not counts(100, 0, 9).often_empty and not counts(9, 0, 9).notable
    assert counts(10, 0, 9).shows_nothing and not counts(10, 0, 8).shows_nothing
