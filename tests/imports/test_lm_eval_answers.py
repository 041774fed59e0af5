"""What a logged line says that was answered; a line that does not say it counts for nothing."""

from __future__ import annotations

from typing import Any

import pytest
from imports.tiny_logs import line

from evalharness.imports.lm_eval_answers import read_answer
from evalharness.tasks.answer_counts import ReadAnswer


def ranked(target: str, *logprobs: str) -> dict[str, Any]:
    return {**line(0, target=target, acc=1.0), "filtered_resps": [[each, "False"] for each in logprobs]}


@pytest.mark.parametrize(
    ("target", "right"), [("1", (("1",), (1,))), ("0", (("0",), (0,))), ("7", ((), (7,))), ("text", ((), ()))]
)
def test_a_ranking_picks_the_first_of_the_most_likely(target: str, right: tuple[Any, Any]) -> None:
    assert read_answer(ranked(target, "-2.5", "-0.5"), 2) == ReadAnswer("1", right[0], 1, right[1])
    again = read_answer(ranked(target, "-0.5", "-0.5"), 2)
    assert again is not None and again.place == 0


def test_a_text_is_read_as_its_filter_left_it() -> None:
    written = {**line(0, target="7", pipe="strict", acc=1.0), "filtered_resps": [" 7 "]}
    assert read_answer(written, 0) == ReadAnswer("7", ("7",))
    assert read_answer({**written, "filtered_resps": [[" "]]}, 0) == ReadAnswer("", ("7",), empty=True)
    assert read_answer({**written, "filtered_resps": ["[invalid]"]}, 0) == ReadAnswer(
        "[invalid]", ("7",), unreadable=True
    )


@pytest.mark.parametrize("given", [None, [], [[]], [["nan", "False"]] * 2, [["-1"], [None]], ["x", {}], 3])
def test_what_is_no_answer_counts_for_nothing(given: Any) -> None:
    assert read_answer({**line(0, acc=1.0), "filtered_resps": given}, 2) is None
