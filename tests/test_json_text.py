"""JSON that a user hands in is parsed, or refused by a ValueError that says where."""

from __future__ import annotations

import pytest

from evalharness.json_text import parse_json


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a":' * 100_000, "it is nested too deeply"),
        (f"[NaN, {'[' * 100_000}", "it is nested too deeply"),
        ("1e999", "^1e999 is beyond all numbers"),
        ('{"models": [{"seconds": 1.0}, {"seconds": -1e999}]}', r"^models\[1\]\.seconds: -1e999 is beyond all numbers"),
        ('{"a": {"b": [1, NaN]}}', r"^a\.b\[1\]: NaN is no number"),
        ('{"a": Infinity}', "^a: Infinity is no number"),
        (b"\xff", "codec can't decode"),
        ("9" * 5_000, "Exceeds the limit"),
    ],
)
def test_what_is_wrong_is_a_value_error(text: str | bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(text)


def test_what_other_tools_write_may_be_infinite() -> None:
    assert parse_json("[1e999, -Infinity]", finite=False) == [float("inf"), float("-inf")]
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000, finite=False)


def test_numbers_come_as_they_are() -> None:
    assert parse_json('{"a": [1, 1.5, 1e308, true, null]}') == {"a": [1, 1.5, 1e308, True, None]}
