"""Where a written answer begins and ends."""

from __future__ import annotations

import pytest

from evalharness.records.requests import Generate


def answer(text: str, *stop: str, at_once: bool = False) -> tuple[str, bool]:
    return Generate(prompt="", stop=stop, max_tokens=9, stop_at_once=at_once).answer_in(text, ["</s>"])


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("text", "stop", "right"),
    [
        ("\n\n It rains.\nDialogue:", "\n", ("It rains.", True)),
        (" It rains.\nDialogue:", "\n", (" It rains.", True)),
        ("\n\nIt rains.\n\nIt pours.", "\n\n", ("It rains.", True)),
        ("\nIt rains.\nIt pours.\n\n", "\n\n", ("\nIt rains.\nIt pours.", True)),  # no stop string was passed
        ("\n \n", "\n", ("", False)),
        ("\n\n</s>", "\n", ("", True)),
        ("\nQ: and then?", "\nQ:", ("", True)),  # words end it at once: a new question is no answer
        ("It rains.", "\n", ("It rains.", False)),
        ("", "\n", ("", False)),
    ],
)
def test_a_stop_of_white_space_ends_what_was_begun(text: str, stop: str, right: tuple[str, bool]) -> None:
    assert answer(text, stop) == right


@pytest.mark.parametrize("text", ["\n\n It rains.", " It\nrains", "It\n", "\n"])
def test_at_once_is_lm_evals_way(text: str) -> None:
    assert answer(text, "\n", at_once=True) == (text.split("\n")[0], True)


def test_how_an_answer_ends_is_part_of_what_is_asked() -> None:
    one, other = (Generate(prompt="a", stop=("\n",), max_tokens=9, stop_at_once=way) for way in (True, False))
    assert one.id != other.id
