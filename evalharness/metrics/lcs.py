"""Find longest common subsequences (LCS) of words by whole rows of bits, as Python's integers hold them.

Bit i of a row is 0 where the LCS with the first i + 1 words is longer than with the first i. One addition moves the row
past one more word of the other text (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"; Crochemore et al.
2001), so that a word costs a few operations on integers in place of a cell a pair of words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def places(words: Sequence[str]) -> dict[str, int]:
    """Bit i of a word's mask: is it the i-th of `words`?"""
    masks: dict[str, int] = {}
    bit = 1
    for word in words:
        masks[word] = masks.get(word, 0) | bit
        bit <<= 1
    return masks


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words the longest common subsequence has."""
    every = row = (1 << len(first)) - 1
    for mask in map(places(first).get, second):
        if mask:
            stepped = row & mask
            row = (row + stepped) | (row - stepped)
    return len(first) - (row & every).bit_count()


def matched_places(masks: Mapping[str, int], length: int, words: Sequence[str]) -> int:
    """Which of `length` reference words, given as their `places`, one LCS with `words` takes: bit i is set for the
    i-th.

    Of several it is the one that rouge-score's table gives when read from its end: equal words are taken; else it goes
    on without the last of `words` where that leaves the longer LCS, and otherwise without the last reference word.
    """
    every = row = (1 << length) - 1
    columns, before = [], None  # of each word, (its mask, where reading stops: at an equal word, or where the row is 0)
    for mask in map(masks.get, words):
        if mask:
            stepped = row & mask
            row = ((row + stepped) | (row - stepped)) & every
            columns.append((mask, mask | (row ^ every)))
        elif before != 0:  # a second word that stands nowhere changes nothing
            columns.append((0, row ^ every))
        before = mask or 0
    taken, left = 0, every
    for mask, stops in reversed(columns):
        if not (here := stops & left):
            break
        top = 1 << (here.bit_length() - 1)
        left = top - 1
        if mask & top:
            taken |= top
        else:
            left |= top
    return taken
