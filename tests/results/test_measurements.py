"""Measurements that were damaged, or that no run leaves, are refused by column or task."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from measured_runs import ACC, MCC, OPAQUE, measured_run, task

from evalharness import results
from evalharness.errors import UsageError
from evalharness.records.measurements import Measurement
from evalharness.results.measurements import COLUMNS, FACTS_KEY

GOOD: dict[str, list[object]] = {
    "task": ["a"] * 4,
    "metric": ["acc", "acc", "mcc", "mcc"],
    "model": ["b", "b", "b", "c"],
    "unit": ["p", "q", "p", "p"],
    "size": [1, 2, 1, 1],
    "row": [[1.0, 1.0], [1.0, 2.0], [0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": list("1211")}, "the column 'size' holds string, not int32"),
        ({"unit": [1, 2, 3, 4]}, "the column 'unit' holds int64, not string"),
        ({"row": [1.0] * 4}, "the column 'row' holds double, not list"),
        ({"row": [None, *GOOD["row"][1:]]}, "the column 'row' holds null"),
        ({"row": [[None, 1.0], *GOOD["row"][1:]]}, "the column 'row' holds null"),
        ({"model": [None, "b", "b", "c"]}, "the column 'model' holds null"),
        ({"task": None}, "the column 'task' is missing"),
        ({"size": [1, 0, 1, 1]}, ": a by acc of b: a unit of 0 examples"),
        ({"unit": ["p", "p", "p", "p"]}, ": a by acc of b: the same unit twice"),
        ({"row": [[1.0], [2.0], *GOOD["row"][2:]]}, ": a by acc of b: rows of 1 numbers, a binary metric has 2"),
        ({"row": [*GOOD["row"][:3], [1.0]]}, ": a by mcc of c: rows of 1 numbers, those of another model have 4"),
        ({"row": [[7.0, 1.0], *GOOD["row"][1:]]}, ": a by acc of b: 7 is not between 0 and 1"),
        ({"row": [[-1.0, 1.0], *GOOD["row"][1:]]}, ": a by acc of b: -1 is not between 0 and 1"),
        ({"row": [[1.0, -1.0], *GOOD["row"][1:]]}, ": a by acc of b: a row of less than no examples"),
        ({"row": [[1.0, 2.0], *GOOD["row"][1:]]}, ": a by acc of b: a row of more examples than its unit has"),
        ({"row": [*GOOD["row"][:2], [0.0, 1.0, math.inf, 0.0], [1.0] * 4]}, "a by mcc of b: a row that is not finite"),
    ],
)
def test_measurements_that_no_run_leaves_are_refused_by_column_or_task(
    tmp_path: Path, change: dict[str, list[object] | None], says: str
) -> None:
    results.write_measurements(tmp_path, measured_run([task("a", ACC, MCC)], []))
    head = json.loads(pq.read_schema(tmp_path / "measurements.parquet").metadata[FACTS_KEY])
    del head["digest"]

    def leave(columns: dict[str, list[object] | None]) -> None:
        table = pa.table({name: _column(name, values) for name, values in columns.items() if values is not None})
        pq.write_table(table.replace_schema_metadata({FACTS_KEY: json.dumps(head)}), tmp_path / "measurements.parquet")

    leave({**GOOD})
    assert len(results.read_measurements(tmp_path).measurements) == 3
    leave({**GOOD, **change})
    with pytest.raises(UsageError, match=r"measurements\.parquet") as error:
        results.read_measurements(tmp_path)
    assert says in str(error.value)


def _column(name: str, values: list[object]) -> pa.Array:
    """In the type of the file where it can be, else in another."""
    try:
        return pa.array(values, COLUMNS.field(name).type)
    except (pa.ArrowException, TypeError):
        return pa.array(values)


def test_an_opaque_value_outside_its_range_is_refused(tmp_path: Path) -> None:
    of = {"task": "a", "metric": "meteor", "model": "b", "units": (), "sizes": (), "rows": np.zeros((0, 0))}
    results.write_measurements(tmp_path, measured_run([task("a", OPAQUE)], [Measurement(**of, point=1.5)]))
    with pytest.raises(UsageError, match=r"a by meteor of b: 1\.5 is not between 0 and 1"):
        results.read_measurements(tmp_path)
