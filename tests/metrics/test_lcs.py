"""Bit rows against rouge-score's table of lengths and the way back through it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from evalharness.metrics.lcs import lcs_length, matched_places, places

words = st.lists(st.sampled_from("abcdef"), max_size=70)


@given(words, words)
def test_the_length_is_that_of_the_table(first, second):
    assert lcs_length(first, second) == rouge_scorer._lcs_table(first, second)[-1][-1]


@given(words, words)
def test_the_matched_places_are_those_read_back_from_the_table(reference, output):
    taken = matched_places(places(reference), len(reference), output)
    expected = rouge_scorer.lcs_ind(reference, output)
    assert [place for place in range(len(reference)) if taken >> place & 1] == expected


def test_of_equally_long_ones_the_same_is_taken():
    assert matched_places(places("abab"), 4, "ba") == 0b0110
    assert matched_places(places("ab"), 2, "bxa") == 0b01
