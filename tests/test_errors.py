"""Errors read "where: what is wrong; what would be right", and carry the documented exit code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from evalharness import errors


def test_the_line() -> None:
    assert str(errors.DataError(Path("rows.jsonl"), "is empty", "give rows")) == "rows.jsonl: is empty; give rows"
    assert str(errors.DataError("rows", "is empty")) == "rows: is empty"


def test_an_error_of_another_process_has_all_its_parts() -> None:
    error = pickle.loads(pickle.dumps(errors.ModelError(Path("model"), "diverged", "a smaller rate")))
    assert type(error) is errors.ModelError
    assert (error.where, error.what, error.fix) == ("model", "diverged", "a smaller rate")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.TaskError, 2),
        (errors.DataError, 2),
        (errors.ModelError, 2),
        (errors.StoreError, 2),
        (errors.MissingPackageError, 2),
        (errors.NotComparableError, 5),
    ],
)
def test_exit_codes(kind: type[errors.EvalHarnessError], code: int) -> None:
    assert kind("x", "y").exit_code == code


def test_suggestions() -> None:
    assert errors.did_you_mean("sst", ["sst2", "cola"]) == "did you mean sst2?"
    assert errors.did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert errors.did_you_mean("zzz", []) == "none is known"
    assert errors.did_you_mean("zzz", map(str, range(20))).endswith(", …")
