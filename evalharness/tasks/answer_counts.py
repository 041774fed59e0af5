"""Count how a model's answers to a task are spread: one answer to all rows, empty, cut-off, unreadable texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from evalharness.records.answers import AnswerCounts

LONGEST = 80  # characters of the most common answer that are kept


class ReadAnswer(NamedTuple):
    """One scored answer: the choice picked or the text read out, and the answers that are right.

    Where a choice was picked, `place` and `right_places` say where in the list of choices it and the right ones stand.
    """

    text: str
    right: tuple[str, ...]
    place: int | None = None
    right_places: tuple[int, ...] = ()
    empty: bool = False
    cut_off: bool = False
    unreadable: bool = False
    near_tie: bool = False


def picked(choices: Sequence[str], choice: int, gold: Sequence[int], near_tie: bool = False) -> ReadAnswer | None:
    """The answer of a ranking; None where there was nothing to choose from. `gold`: places of the right choices."""
    if len(choices) < 2:
        return None
    right = tuple(choices[place].strip() for place in gold if place < len(choices))
    return ReadAnswer(choices[choice].strip(), right, choice, tuple(gold), near_tie=near_tie)


def count_answers(read: Sequence[ReadAnswer]) -> AnswerCounts | None:
    """Count them; None where there are none. Empty and unreadable texts are no answer that could be the most common.

    Choices that differ from row to row are counted by their place in the list as well: whichever is more common.
    """
    if not read:
        return None
    given = [each for each in read if not (each.empty or each.unreadable)]
    text, count = (Counter(each.text for each in given).most_common(1) or [("", 0)])[0]
    right = sum(text in each.right for each in read) if count else 0
    places = Counter(each.place for each in given if each.place is not None).most_common(1)
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
