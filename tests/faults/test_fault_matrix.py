from __future__ import annotations

from faults.fault_matrix import ROWS, table


def test_the_table_counts_injections_and_names_the_rows_that_nothing_injected() -> None:
    lines = table([(1, 20, True), (1, 5, False), (7, 1, True)])
    assert lines[1].split()[:3] == ["1", "25", "20"]
    assert lines[2].split()[:3] == ["7", "1", "1"]
    assert lines[-1] == f"not injected: {', '.join(str(row) for row in ROWS if row not in (1, 7))}"
