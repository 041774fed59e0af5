"""Common n-grams against the intersection of Counters."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from evalharness.metrics.ngrams import matches, ngrams

words = st.lists(st.sampled_from("abcd"), max_size=8)


@given(words, words, st.integers(1, 4))
def test_each_counts_as_often_as_both_have_it(first, second, order):
    one, other = ngrams(first, order), ngrams(second, order)
    assert matches(one, other) == (Counter(one) & Counter(other)).total()


def test_a_text_shorter_than_the_order_has_none():
    assert ngrams(["a", "b"], 2) == [("a", "b")]
    assert ngrams(["a", "b"], 3) == []
