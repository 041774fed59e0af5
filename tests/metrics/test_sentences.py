"""The sentence split behind ROUGE-Lsum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.metrics.sentences import one_per_line


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It is cold. Stay in! Why? Because.", ["It is cold.", "Stay in!", "Why?", "Because."]),
        ("one line\nanother. Third one", ["one line", "another.", "Third one"]),
        ("Dr. Brown met J. Smith in the U.S. Army. He left.", ["Dr. Brown met J. Smith in the U.S. Army.", "He left."]),
        ("He said “Stop.” She did.", ["He said “Stop.”", "She did."]),
        ("#Person1# asks. #Person2# answers.", ["#Person1# asks.", "#Person2# answers."]),
        ("Version 2.5 is out... and works.", ["Version 2.5 is out... and works."]),
        ("So did I. Then we left.", ["So did I.", "Then we left."]),
        ("...", ["..."]),
        ("\n \n", []),
    ],
)
def test_splits(text, sentences):
    assert one_per_line(text).split("\n") == (sentences or [""])


@given(st.text(st.sampled_from("aB. !?\n\"'1"), max_size=40))
def test_keeps_every_word_and_is_stable(text):
    split = one_per_line(text)
    assert split.split() == text.split()
    assert one_per_line(split) == split
