"""What was written to the choice that it gives."""

from __future__ import annotations

import pytest

from evalharness.tasks.reading import written_choice

FILM = ("negative", "positive")
TOWNS = ("the old harbour", "the harbour", "A tower", "no idea")


def lenient(text: str, choices: tuple[str, ...], letters: bool = False) -> str | None:
    return written_choice(text, choices, letters, exact=False)


def strict(text: str, choices: tuple[str, ...], letters: bool = False) -> str | None:
    return written_choice(text, choices, letters, exact=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("positive", "positive"),
        (" Positive.", "positive"),
        ("The opinion is **positive**, not negative", "positive"),
        ("nonpositive", None),
        ("", None),
        ("I cannot say", None),
    ],
)
def test_the_first_choice_between_word_boundaries_is_read(text: str, found: str | None) -> None:
    assert lenient(text, FILM) == found


def test_of_choices_that_begin_together_the_longer_one_is_meant() -> None:
    assert lenient("They met at the old  harbour!", TOWNS) == "the old harbour"
    assert lenient("I have no idea", ("no", "no idea")) == "no idea"
    assert lenient("no, the idea is wrong", ("no", "no idea")) == "no"


def test_choices_of_signs_are_looked_for_as_they_stand() -> None:
    assert lenient("it is ++", ("+", "-")) == "+"
    assert lenient("🎬🚢 of course", ("🎬🌊", "🎬🚢")) == "🎬🚢"


@pytest.mark.parametrize(
    ("text", "found"), [("-5", "-5"), ("5", "5"), ("it is 5.5.", "5.5"), ("5 .5", "5"), ("15", None)]
)
def test_numbers_keep_their_signs_and_points(text: str, found: str | None) -> None:
    assert lenient(text, ("5", "-5", "5.5")) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(c)", "C"),
        ("The answer is D.", "D"),
        ("A", "A"),
        ("A mammal", None),
        ("a mammal, so B", "B"),
        ("I think so", None),
    ],
)
def test_single_letters_are_read_as_answers_and_not_as_words(text: str, found: str | None) -> None:
    assert lenient(text, ("A", "B", "C", "D")) == found


def test_listed_letters_stand_for_their_choices() -> None:
    assert lenient("B. the harbour", TOWNS, letters=True) == "the harbour"
    assert lenient("(D)", TOWNS, letters=True) == "no idea"
    assert lenient("(D)", TOWNS) is None
    many = tuple(f"number {i}" for i in range(30))
    assert lenient("C", many, letters=True) is None  # so many were listed without letters


def test_strict_takes_nothing_but_the_answer() -> None:
    assert strict(" positive\n", FILM) == "positive"
    assert [strict(text, FILM) for text in ("Positive", "positive.", "is positive")] == [None] * 3
    assert (strict("B", TOWNS, letters=True), strict("b", TOWNS, letters=True), strict("B", TOWNS)) == (
        "the harbour",
        None,
        None,
    )
    assert strict("A", ("B", "A"), letters=True) == "A"  # a choice's text goes before a letter
