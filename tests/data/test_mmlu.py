"""MMLU's CSV files. The csv module writes them here; expectations are the rows that were written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

Of = Callable[..., Task]
Lay = Callable[..., Path]

QUESTIONS = [
    ['Which is the nearest, as one says, "star"?\nThink twice.', "the moon", "the sun", "Mars, perhaps", "none", "B"],
    ["naïve: 東京 is a", "city", "river", 'a "lake"', "sea", "A"],
    ["2 + 2 =", "1", "2", "3", "4", "D"],
]


def table(rows: list[list[str]], ending: str = "\n") -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(rows)
    return text.getvalue()


def rows_of(task: Task, root: Path, split: str = "test") -> list[dict[str, Any]]:
    return [dict(row) for row in read_rows(task, split, DataSource(root)).rows]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "header", [[], [["question", "A", "B", "C", "D", "answer"]], [["Question", "a", "b", "c", "d", "Correct"]]]
)
def test_questions_with_quotes_and_line_breaks_are_whole(
    of: Of, lay: Lay, ending: str, mark: str, header: list[list[str]]
) -> None:
    root = lay({"mmlu/test/astronomy_test.csv": mark + table(header + QUESTIONS, ending)})
    expected = [
        {"question": q, "subject": "astronomy", "choices": choices, "answer": "ABCD".index(a)}
        for q, *choices, a in QUESTIONS
    ]
    assert rows_of(of("cais/mmlu", "astronomy"), root) == expected


@pytest.mark.parametrize("answers", ["ABCD", "abcd", "0123"])
def test_answers_are_letters_or_numbers(of: Of, lay: Lay, answers: str) -> None:
    root = lay({"data/test/astronomy_test.csv": table([["q", "w", "x", "y", "z", answer] for answer in answers])})
    assert [row["answer"] for row in rows_of(of("cais/mmlu", "astronomy"), root)] == [0, 1, 2, 3]


def test_choices_that_are_the_letters_are_no_header(of: Of, lay: Lay) -> None:
    root = lay({"mmlu/dev/astronomy_dev.csv": table([["Which letter is first?", "A", "B", "C", "D", "A"]])})
    assert len(rows_of(of("cais/mmlu", "astronomy"), root, "dev")) == 1


@pytest.mark.parametrize(
    ("split", "place"),
    [
        ("dev", "mmlu/dev/astronomy_dev.csv"),
        ("validation", "mmlu/val/astronomy_val.csv"),
        ("test", "MMLU/test/astronomy_test.csv"),
        ("test", "data/test/astronomy_test.csv"),
        ("test", "mmlu/data/test/astronomy_test.csv"),
        ("test", "test/astronomy_test.csv"),
        ("validation", "mmlu/astronomy_val.csv"),
    ],
)
def test_folders_that_it_is_found_in(of: Of, lay: Lay, split: str, place: str) -> None:
    assert len(rows_of(of("cais/mmlu", "astronomy"), lay({place: table(QUESTIONS)}), split)) == 3


def test_all_subjects_are_read_in_the_order_of_their_names(of: Of, lay: Lay) -> None:
    root = lay({f"mmlu/test/{name}_test.csv": table(QUESTIONS[:1]) for name in ("virology", "high_school_biology")})
    assert [row["subject"] for row in rows_of(of("cais/mmlu", "all"), root)] == ["high_school_biology", "virology"]


def test_rows_as_the_hub_has_them_are_left_alone_but_choices_must_be_a_list(of: Of, lay: Lay) -> None:
    row = {"question": "q", "choices": ["a", "b"], "answer": 1, "own": "column"}
    assert rows_of(of("cais/mmlu", "astronomy"), lay({"mmlu/astronomy/test.jsonl": [row]})) == [row]
    with pytest.raises(DataError, match=r"test\.jsonl, row 1: column 'choices' holds a text; a list"):
        rows_of(of("cais/mmlu", "astronomy"), lay({"mmlu/astronomy/test.jsonl": [row, {**row, "choices": "ab"}]}))
    with pytest.raises(DataError, match=r"validation\.csv:2: column 'choices' holds no list .*CSV has none"):
        rows_of(
            of("cais/mmlu", "virology"),
            lay({"mmlu/virology/validation.csv": "question,choices,answer\nq,\"['a', 'b']\",1\n"}),
            "validation",
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,1,2,3,4,A\nq,1,2,3,A\n", r"astronomy_test\.csv:2: has 5 fields"),
        ("q,1,2,3,4,E\n", r"astronomy_test\.csv:1: the answer is 'E'; A, B, C or D"),
        ("q,1,2,3,4,4\n", r":1: the answer is '4'"),
        ('q,1,2,3,4,A\n"open,1,2,3,4,A\n', r"astronomy_test\.csv:\d: cannot be read"),
        ("", "has no rows"),
        ("question,A,B,C,D,answer\n", "has no rows"),
        (b"q,1,2,3,4,A\nq\xff,1,2,3,4,A\n", r"astronomy_test\.csv:2: holds bytes that are not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(of: Of, lay: Lay, text: str | bytes, message: str) -> None:
    root = lay({"mmlu/test/astronomy_test.csv": text})
    with pytest.raises(DataError, match=message):
        rows_of(of("cais/mmlu", "astronomy"), root)


def test_a_subject_without_the_split_is_named_with_what_is_there(of: Of, lay: Lay) -> None:
    root = lay({"mmlu/test/astronomy_test.csv": table(QUESTIONS)})
    with pytest.raises(DataError, match=r"mmlu: has no split 'dev' for mine .*there: test"):
        rows_of(of("cais/mmlu", "astronomy"), root, "dev")
