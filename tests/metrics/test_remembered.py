"""What is remembered of texts, and when it is forgotten."""

from __future__ import annotations

from evalharness.metrics.remembered import Remembered


def test_each_text_is_read_once_until_there_are_too_many_characters():
    read = []
    lengths = Remembered(lambda text: read.append(text) or len(text), most=6)
    assert [lengths[text] for text in ("abc", "de", "abc", "fgh", "de")] == [3, 2, 3, 3, 2]
    assert read == ["abc", "de", "fgh"]
    assert lengths["ij"] == 2
    assert [*lengths] == ["ij"]
