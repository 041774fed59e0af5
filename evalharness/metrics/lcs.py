"""Find longest common subsequences (LCS) of words with rows of bits in Python's integers.

Bit i of a row is 0 if the LCS with the first i + 1 words is longer than with the first i. One addition moves the row
past one more word of the other text (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"; Crochemore et al.
2001), so a word costs a few operations on integers instead of one per pair of words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def places(words: Sequence[str]) -> dict[str, int]:
    """Return a mask for each word: bit i of the mask is set if the word is the i-th of `words`."""
    masks: dict[str, int] = {}
    bit = 1
    for word in words:
        masks[word] = masks.get(word, 0) | bit
        bit <<= 1
    return masks


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the number of words of the longest common subsequence."""
    every = row = (1 << len(first)) - 1
    for mask in map(places(first).get, second):
        if mask:
            stepped = row & mask
            row = (row + stepped) | (row - stepped)
    return len(first) - (row & every).bit_count()


def matched_places(masks: Mapping[str, int], length: int, words: Sequence[str]) -> int:
    """Return which of `length` reference words, as their `places`, are in an LCS with `words`: bit i is set for the
    i-th.

    Of several it is the one that rouge-score's table gives when read from its end: it takes equal words; else it drops
    the last of `words` if that leaves the longer LCS, and otherwise the last reference word.
    """
    every = row = (1 << length) - 1
    columns, before = [], None  # for each word, (its mask, the places to stop: at an equal word, or where the row is 0)
    for mask in map(masks.get, words):
        if mask:
            stepped = row & mask
            row = ((row + stepped) | (row - stepped)) & every
            columns.append((mask, mask | (row ^ every)))
        elif before != 0:  # a second unmatched word changes nothing
            columns.append((0, row ^ every))
        before = mask or 0
    matched, remaining = 0, every
    for mask, stops in reversed(columns):
        if not (here := stops & remaining):
            break
        top = 1 << (here.bit_length() - 1)
        remaining = top - 1
        if mask & top:
            matched |= top
        else:
            remaining |= top
    return matched
