"""Draws depend on content alone: numbers written down from an earlier release."""

from __future__ import annotations

from evalharness.analysis.draws import generator


def test_random_numbers_depend_on_content_alone() -> None:
    draws = [generator(value).integers(0, 1000, 5).tolist() for value in ([1234, "a"], [1234, "a"], [1, "a"])]
    assert draws[0] == draws[1] == [626, 653, 792, 679, 505] != draws[2]  # resamples of old runs hang on these numbers
