"""`--train-data [NAME=]PATH` to what the job says."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalharness.cli.run import _train_data
from evalharness.errors import UsageError


def test_for_all_and_for_one(tmp_path: Path) -> None:
    rows, odd = tmp_path / "rows.jsonl", tmp_path / "a=b.jsonl"
    rows.touch()
    odd.touch()
    assert _train_data([]) == {}
    assert _train_data([str(rows), f"lora={odd}"]) == {"": rows, "lora": odd}
    assert _train_data([str(odd)]) == {"": odd}


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    for given, what in (
        ([str(rows), str(rows)], "several for all"),
        (["away.jsonl"], "away.jsonl does not exist"),
        (["lora=away.jsonl"], "--train-data lora: away.jsonl does not exist"),
        ([f"lora={rows}", f"lora={rows}"], "given twice"),
    ):
        with pytest.raises(UsageError, match=what):
            _train_data(given)
