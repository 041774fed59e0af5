"""Signature, cost and errors as tables."""

from __future__ import annotations

from evalharness.records.measurements import ExampleError
from evalharness.records.results import Results
from evalharness.report.facts import MOST_ERRORS, Fact, error_table, fact_tables


def test_values_mappings_and_tables() -> None:
    digest = "sha256:" + "ab" * 32
    run, packages, tasks = fact_tables(
        {
            "seed": 1234,
            "limit": None,
            "packages": {"torch": "2.13"},
            "tasks": {"a": {"data": digest, "n": 3}, "b": {"n": 4, "metrics": {"acc": "v1"}}},
            "empty": {},
        }
    )
    assert (run.title, run.columns, run.rows) == ("The run", (), (("seed", (Fact("1234"),)), ("limit", (Fact("–"),))))
    assert (packages.title, packages.rows) == ("Packages", (("torch", (Fact("2.13"),)),))
    assert tasks.columns == ("data", "n", "metrics")
    assert tasks.rows[0] == ("a", (Fact("abababababab", digest), Fact("3"), Fact("–")))
    assert tasks.rows[1] == ("b", (Fact("–"), Fact("4"), Fact("acc: v1")))


def test_units_are_read_from_the_names() -> None:
    facts = {
        "seconds": 74.2,
        "peak_memory_bytes": 812_000_000,
        "hit_share": 0.5,
        "tokens": 123456,
        "flags": [True, "x"],
        "notices": [],
    }
    (table,) = fact_tables(facts)
    assert [fact.text for _, (fact,) in table.rows] == ["1 min 14 s", "812 MB", "50.00 %", "123,456", "yes, x", "–"]


def test_errors_are_counted_by_reason() -> None:
    errors = [ExampleError(task="t", model="m", example=str(i), reason="same") for i in range(7)] + [
        ExampleError(task="t", model="m", example="", reason="other")
    ]
    table = error_table(Results(signature={}, models=(), comparisons=(), errors=tuple(errors)))
    assert [(row.reason, row.count, row.examples) for row in table.rows] == [
        ("same", 7, "0, 1, 2, 3, 4 …"),
        ("other", 1, ""),
    ]
    assert table.left_out == 0
    many = tuple(ExampleError(task="t", model="m", example="1", reason=f"reason {i}") for i in range(MOST_ERRORS + 9))
    table = error_table(Results(signature={}, models=(), comparisons=(), errors=many))
    assert (len(table.rows), table.left_out) == (MOST_ERRORS, 9)
