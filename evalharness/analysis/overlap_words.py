"""Split texts into words, and hash runs of words so that equal runs have equal hashes at any position."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = tuple[str, ...]
Hashes = NDArray[np.uint64]
PRIME = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
INVERSE = pow(PRIME, -1, 1 << 64)


class _WordCharacters(dict[int, str | None]):
    """A table for `str.translate` that drops punctuation and formatting, and puts spaces around characters of scripts
    that are written without spaces.
    """

    def __missing__(self, code: int) -> str | None:
        character, category = chr(code), unicodedata.category(chr(code))
        is_dropped = category[0] == "P" or category in ("Sk", "Cf")
        self[code] = None if is_dropped else f" {character} " if _unspaced(code) else character
        return self[code]


def _unspaced(code: int) -> bool:
    return 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code < 0x40000


_WORD_CHARACTERS = _WordCharacters()


def words_of(text: str) -> Words:
    """Split a text into words: NFKC, lower case, without punctuation; each Chinese or Japanese character is a word."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return tuple(plain.lower().translate(_WORD_CHARACTERS).split())


def own_texts(row: Iterable[str], question: str) -> tuple[str, ...]:
    """Return the texts of a row that `question` contains unchanged, without those within another; `question` if it
    contains none.
    """
    question_words = spaced(words_of(question))
    there = {padded: text for text in row if (words := words_of(text)) and (padded := spaced(words)) in question_words}
    outer = [text for padded, text in there.items() if not any(padded in other for other in there if other != padded)]
    return tuple(outer) or (question,)


def spaced(words: Sequence[str]) -> str:
    """Join words with a space around each, so that a search finds whole words only."""
    return f" {' '.join(words)} "


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """Sorted hashes of runs of words, with the items that contain each.

    `hashes`: sorted. `ends`: the items of hash i are numbers[ends[i]:ends[i + 1]]. `numbers`: of items.
    """

    hashes: Hashes
    ends: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Sequence[tuple[Hashes, int]]) -> RunTable:
        hashes = np.concatenate([np.array([], dtype=np.uint64), *(hashes for hashes, _ in pairs)])
        numbers = np.repeat(
            np.array([number for _, number in pairs], dtype=np.int64), [len(hashes) for hashes, _ in pairs]
        )
        order = np.argsort(hashes, kind="stable")
        distinct, starts = np.unique(hashes[order], return_index=True)
        return cls(hashes=distinct, ends=np.concatenate([starts, [len(hashes)]]), numbers=numbers[order])

    def pairs(self, hashes: Hashes, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Yield (row, item) for every hash of a row that the table has."""
        if not len(self.hashes) or not len(hashes):
            return
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        matches = self.hashes[at] == hashes
        for place, row in np.unique(np.stack([at[matches], rows[matches]], axis=1), axis=0).tolist():
            for number in self.numbers[self.ends[place] : self.ends[place + 1]].tolist():
                yield row, number


def sums_of(codes: Hashes) -> Hashes:
    """Return the sums of code[t] · PRIME**t over t < i, modulo 2**64, for every i."""
    powers = np.cumprod(
        np.concatenate([np.array([1], dtype=np.uint64), np.full(max(0, len(codes) - 1), PRIME, dtype=np.uint64)])
    )
    return np.concatenate([np.array([0], dtype=np.uint64), np.cumsum(codes * powers[: len(codes)], dtype=np.uint64)])


def between(sums: Hashes, starts: NDArray[np.int64], length: int) -> Hashes:
    """Return the hash of the run of `length` codes from each start: independent of the run's position."""
    undo = np.cumprod(
        np.concatenate([np.array([1], dtype=np.uint64), np.full(max(0, len(sums) - 1), INVERSE, dtype=np.uint64)])
    )
    return (sums[starts + length] - sums[starts]) * undo[starts]


def windows(codes: Hashes, length: int) -> Hashes:
    return between(sums_of(codes), np.arange(max(0, len(codes) - length + 1)), length)


def count_hashes(hashes: Sequence[Hashes]) -> tuple[Hashes, NDArray[np.int64]]:
    return np.unique(np.concatenate([np.array([], dtype=np.uint64), *hashes]), return_counts=True)
