"""A table of drifts is read as it was written, and refused by file, line and column where it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from drift_tables import table_text

from evalharness.data.drift_table import COLUMNS, read_table
from evalharness.errors import DataError
from evalharness.records.drift_table import TableCandidate

CANDIDATE = TableCandidate(
    base="tiny, the base",
    base_fingerprint="b" * 64,
    suite="demo",
    target="topics",
    method="full",
    rate=0.0008,
    replay=0.2,
    seed=3,
    neutral_texts="d" * 64,
    kl={"neutral": 1.25, "outputs": 0.0},
    margins=-4.75,
    ability=None,
    run="0123456789ab",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "drift-x.csv"
    path.write_text(table_text([CANDIDATE, CANDIDATE]))
    assert read_table(path) == (CANDIDATE, CANDIDATE)
    assert table_text(read_table(path)) == path.read_text()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace("kl_outputs", "kl"), f"its columns are not {', '.join(COLUMNS)}"),
        (lambda text: text.replace("1.25", "much"), "line 2: kl_neutral is 'much'; a finite number would be right"),
        (lambda text: text.replace("1.25", "nan"), "line 2: kl_neutral is 'nan'"),
        (lambda text: text.replace("1.25", "-1.25"), "line 2: kl_neutral is below 0"),
        (lambda text: text.replace("-4.75", ""), "line 2: margins is ''"),
        (lambda text: text.replace("topics", ""), "line 2: target is empty"),
        (lambda text: text.rstrip()[:-20], "line 2: has "),
        (lambda text: text.replace("full", '"full'), "not CSV"),
        (lambda text: "", "its columns are not"),
        (lambda text: text.splitlines()[0], "has no candidate"),
        (lambda text: text.replace("1.25,0,", ",,"), "line 2: has none of kl_neutral, kl_outputs, kl_inputs"),
        (lambda text: text.replace("0.2,3", "0.2,3.5"), "line 2: seed is '3.5'; a whole number would be right"),
    ],
)
def test_damage_is_named(damage: Callable[[str], str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "drift-x.csv"
    path.write_text(damage(table_text([CANDIDATE])))
    with pytest.raises(DataError) as error:
        read_table(path)
    assert f"{error.value}".startswith(f"{path}") and says in f"{error.value}"


def test_a_table_that_is_not_there_and_one_of_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(DataError):
        read_table(tmp_path / "bytes.csv")
