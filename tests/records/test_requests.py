"""The id of an example says which row it was made of."""

from __future__ import annotations

import pytest

from evalharness.records.requests import example_id, row_of


@pytest.mark.parametrize("digest", ["0f3a99c1", "a-b", "7"])
def test_the_row_is_read_from_the_id(digest: str) -> None:
    assert [row_of(example_id(row, digest)) for row in (0, 7, 120)] == [0, 7, 120]
