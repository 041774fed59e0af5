"""What is said below a candidate's table of answers that tell little."""

from __future__ import annotations

from dataclasses import replace

from measured_runs import one

from evalharness.records.answers import AnswerCounts
from evalharness.report.answers import beside_score, sentences

ALL = AnswerCounts(answers=50, most_common="A", most_common_count=50, most_common_right=26)
MOST = replace(ALL, most_common_count=49)
ROW = replace(one(50, 26), task="boolq", candidate="tuned")
SILENT = AnswerCounts(answers=50, most_common="", most_common_count=0, most_common_right=0, empty=48, cut_off=7)


def test_a_base_that_answers_one_thing_cannot_show_what_it_knew() -> None:
    assert sentences([replace(ROW, base_answers=ALL, candidate_answers=MOST)], {}) == [
        "boolq: the base answers “A” to every row (right in 52 %): this task cannot show what it knew",
        "boolq: tuned answers “A” to 98 % of the rows (right in 52 %)",
    ]
    assert sentences([ROW], {}) == []


def test_shares_are_rounded_and_only_all_are_100_percent() -> None:
    counts = replace(ALL, answers=12, most_common_count=11, most_common_right=11)
    assert beside_score(counts) == "answers “A” to 92 % of the rows (right in 92 %)"
    assert "to 99 % of the rows" in beside_score(replace(ALL, answers=1000, most_common_count=999))


def test_empty_cut_off_and_unreadable_answers_are_said_of_either_model() -> None:
    torn = replace(SILENT, empty=5, cut_off=0, unreadable=25)
    assert sentences([replace(ROW, base_answers=SILENT, candidate_answers=torn)], {}) == [
        "boolq: the base writes nothing in 96 % of the rows: this task cannot show what it knew",
        "boolq: the base is cut off at the length limit in 14 % of the rows",
        "boolq: tuned writes nothing in 10 % of the rows",
        "boolq: tuned cannot be read in 50 % of the rows",
    ]


def test_repeated_questions_are_counted() -> None:
    (line,) = sentences([replace(ROW, repeated=12)], {})
    assert line == "boolq: 12 rows repeat questions of others; each question counts once in the tests"


def test_many_rows_are_named_alone_and_a_group_speaks_for_its_tasks() -> None:
    rows = [replace(ROW, task=f"t{i}", base_answers=ALL) for i in range(8)]
    lines = sentences(rows, {})
    assert len(lines) == 6 and lines[-1] == "the base gives one answer in 3 more: t5, t6, t7"
    whole = replace(ROW, task="all", level="group", base_answers=MOST)
    assert sentences([whole, *rows], {"all": [row.task for row in rows]}) == [
        "all: the base answers “A” to 98 % of the rows (right in 52 %): this task cannot show what it knew"
    ]


def test_hostile_and_long_answers_stay_on_one_line() -> None:
    text = beside_score(replace(ALL, most_common="\x1b[31mred\n" + "x" * 100))
    assert "\x1b" not in text and "\n" not in text and len(text) < 90
    assert beside_score(None) == ""
