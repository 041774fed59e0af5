"""Extract the choice that a model's text gives.

    exact    the text without surrounding white space is a choice, or its letter if letters were listed
    lenient  the first choice, or letter, in the text between word boundaries; of two that begin at the same place the
             longer one. Case, punctuation and the width of gaps do not matter; choices without letters are matched
             literally

A single letter counts if it is a capital that stands alone ("B", "(B)", "B."), or the whole text. "A" and "I" before a
word in small letters are English words and no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WORD = re.compile(r"[^\W_]+")


def written_choice(text: str, choices: Sequence[str], letters: bool, exact: bool) -> str | None:
    """Return the one of `choices` that `text` gives; None if it gives none. With `letters` they were listed as A, B, C
    …
    """
    by_letter = tuple(zip(LETTERS, choices, strict=False)) if letters and len(choices) <= len(LETTERS) else ()
    if exact:
        answers = dict(by_letter) | {choice.strip(): choice for choice in reversed(choices)}
        return answers.get(text.strip())
    first = min(_places(text, tuple(choices), by_letter), key=lambda place: place[:2], default=None)
    return first[2] if first else None


Place = tuple[int, int, str]  # where it begins, minus its length, the choice


def _places(text: str, choices: tuple[str, ...], by_letter: tuple[tuple[str, str], ...]) -> Iterator[Place]:
    """Return the first place of every choice and letter."""
    matches = list(WORD.finditer(text))
    words = tuple(match[0].casefold() for match in matches)
    for choice in choices:
        as_it_is = choice.strip()
        if not as_it_is:
            continue
        if len(as_it_is) == 1 and as_it_is.upper() in LETTERS:
            yield from _letter(text, as_it_is.upper(), choice)
        elif match := re.search(rf"(?<!\w){re.escape(as_it_is)}(?!\w)", text, re.I):
            yield match.start(), -len(as_it_is), choice
        elif at := _run(words, _words(choice)):
            yield matches[at - 1].start(), -len(as_it_is), choice
        elif as_it_is in text and not any(map(str.isalnum, as_it_is)):
            yield text.index(as_it_is), -len(as_it_is), choice
    for letter, choice in by_letter:
        yield from _letter(text, letter, choice)


def _run(words: tuple[str, ...], run: tuple[str, ...]) -> int:
    """Return one more than the index at which the words of `run` follow each other in a text; 0 if they do not."""
    starts = range(len(words) - len(run) + 1) if run else ()
    return next((at + 1 for at in starts if words[at : at + len(run)] == run), 0)


def _letter(text: str, letter: str, choice: str) -> Iterator[Place]:
    """Return the place of a single letter that is an answer, if there is one."""
    if text.strip().strip("().:,;'\"*").upper() == letter:
        yield text.upper().index(letter), -1, choice
    elif match := re.search(rf"(?<![\w']){letter}(?![\w']){'(?! +[a-z])' if letter in 'AI' else ''}", text):
        yield match.start(), -1, choice


@lru_cache(maxsize=4096)
def _words(choice: str) -> tuple[str, ...]:
    """Return the words of a choice; none if it has no letter."""
    return tuple(word.casefold() for word in WORD.findall(choice)) if any(map(str.isalpha, choice)) else ()
