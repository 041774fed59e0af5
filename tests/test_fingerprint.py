"""Equal content, equal name: keys in any order, files of any size; other content, another name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness import fingerprint

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: object) -> None:
    def turned(v: object) -> object:
        if isinstance(v, dict):
            return {key: turned(v[key]) for key in reversed(list(v))}
        return [turned(item) for item in v] if isinstance(v, list) else v

    assert fingerprint.of_value(value) == fingerprint.of_value(turned(value))


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_other_content_has_another_name(one: list[str], two: list[str]) -> None:
    assert (fingerprint.of_value(one) == fingerprint.of_value(two)) == (one == two)


def test_what_is_no_content_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint.of_value([float("nan")])
    with pytest.raises(TypeError):
        fingerprint.of_value({1, 2})


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1])
def test_files_are_hashed_whole(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    (tmp_path / "f").write_bytes(data[:size])
    assert fingerprint.of_file(tmp_path / "f") == hashlib.sha256(data[:size]).hexdigest()
