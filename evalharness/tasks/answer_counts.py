"""Count a model's answers to a task: the most common one, and empty, cut-off and unreadable texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from evalharness.records.answers import AnswerCounts

LONGEST = 80  # characters of the most common answer


class ReadAnswer(NamedTuple):
    """One scored answer: the choice picked or the text extracted, and the right answers.

    `place` is the index of the picked choice in the list of choices, `right_places` are those of the right ones.
    """

    text: str
    right: tuple[str, ...]
    place: int | None = None
    right_places: tuple[int, ...] = ()
    empty: bool = False
    cut_off: bool = False
    unreadable: bool = False
    near_tie: bool = False


def picked_answer(
    choices: Sequence[str], choice: int, gold: Sequence[int], near_tie: bool = False
) -> ReadAnswer | None:
    """Return the answer of a ranking; None for fewer than two choices. `gold` are the indices of the right choices."""
    if len(choices) < 2:
        return None
    right = tuple(choices[place].strip() for place in gold if place < len(choices))
    return ReadAnswer(choices[choice].strip(), right, choice, tuple(gold), near_tie=near_tie)


def count_answers(read: Sequence[ReadAnswer]) -> AnswerCounts | None:
    """Count the answers; None for none. Empty and unreadable texts are never the most common answer.

    Choices that differ from row to row are also counted by their place in the list; the larger count is reported.
    """
    if not read:
        return None
    answers = [each for each in read if not (each.empty or each.unreadable)]
    text, count = (Counter(each.text for each in answers).most_common(1) or [("", 0)])[0]
    right = sum(text in each.right for each in read) if count else 0
    places = Counter(each.place for each in answers if each.place is not None).most_common(1)
    if places and places[0][1] > count:
        place, count = places[0]
        text, right = f"choice {(place or 0) + 1}", sum(place in each.right_places for each in read)
    return AnswerCounts(
        answers=len(read),
        most_common=text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…",
        most_common_count=count,
        most_common_right=right,
        empty=sum(each.empty for each in read),
        cut_off=sum(each.cut_off for each in read),
        unreadable=sum(each.unreadable for each in read),
        near_ties=sum(each.near_tie for each in read),
    )
