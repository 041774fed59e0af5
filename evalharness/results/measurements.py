"""measurements.parquet: every model's rows of sufficient statistics, one parquet row a unit, and in the metadata what a
comparison must know to be made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalharness.errors import UsageError
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.results import ModelRow
from evalharness.results.files import MEASUREMENTS, inside, write_bytes
from evalharness.results.structuring import AGAIN, SCHEMA_VERSION, parsed, structured

FACTS_KEY = b"evalharness"
TEXT = pa.string()
COLUMNS = pa.schema(
    [
        ("task", TEXT),
        ("metric", TEXT),
        ("model", TEXT),
        ("unit", TEXT),
        ("size", pa.int32()),
        ("row", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """The score of an opaque metric, which has no rows."""

    task: str
    metric: str
    model: str
    point: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The JSON in the file's metadata. `about`: the models, the comparison's plan and the signature."""

    tasks: tuple[TaskFacts, ...]
    points: tuple[_Point, ...]
    about: Mapping[str, Any]


def write_measurements(
    out: Path, facts: Sequence[TaskFacts], measurements: Sequence[Measurement], about: Mapping[str, Any]
) -> None:
    """Write the rows of every model, with `about` (models, plan, signature) in the metadata. Raises StoreError."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
    for m in measurements:
        for name, value in (("task", m.task), ("metric", m.metric), ("model", m.model)):
            columns[name] += [value] * len(m.units)
        columns["unit"] += m.units
        columns["size"] += m.sizes
        columns["row"] += m.rows.tolist() if m.point is None else [[]] * len(m.units)
    points = [
        {"task": m.task, "metric": m.metric, "model": m.model, "point": m.point}
        for m in measurements
        if m.point is not None
    ]
    head = {
        "schema_version": SCHEMA_VERSION,
        "tasks": [asdict(fact) for fact in facts],
        "points": points,
        "about": about,
    }
    table = pa.table(columns, schema=COLUMNS.with_metadata({FACTS_KEY: json.dumps(head, allow_nan=False).encode()}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(out / MEASUREMENTS, sink.getvalue().to_pybytes())


def read_measurements(run: Path) -> tuple[tuple[TaskFacts, ...], tuple[Measurement, ...], dict[str, Any]]:
    """Task facts, measurements and `about` as `write_measurements` was given them. Raises UsageError."""
    path = inside(run, MEASUREMENTS, "measurements")
    try:
        table = pq.read_table(path)
        head = structured(parsed(table.schema.metadata[FACTS_KEY], path, "measurements"), _Head, path)
        points = {(p.task, p.metric, p.model): p.point for p in head.points}
        measurements = [replace(m, point=points.pop((m.task, m.metric, m.model), None)) for m in _measurements(table)]
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise UsageError(path, f"not the measurements of evalharness ({type(error).__name__})", AGAIN) from error
    measurements += [Measurement(*of, (), (), np.zeros((0, 0)), point) for of, point in points.items()]
    return head.tasks, tuple(measurements), dict(head.about)


def models_of(about: Mapping[str, Any], where: object) -> tuple[ModelRow, ...]:
    """The models that the `about` of measurements lists. Raises UsageError."""
    return structured(about.get("models"), tuple[ModelRow, ...], where, "about.models")


def _measurements(table: pa.Table) -> Iterator[Measurement]:
    """The rows by task, metric and model, in the order in which these first come. Raises ValueError for rows of
    different widths.
    """
    keys = [table.column(name).combine_chunks().dictionary_encode() for name in ("task", "metric", "model")]
    codes = np.zeros(len(table), dtype=np.int64)
    for key in keys:
        codes = codes * max(1, len(key.dictionary)) + key.indices.to_numpy()
    _, first, group = np.unique(codes, return_index=True, return_inverse=True)
    parts = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    units, sizes = np.array(table.column("unit").to_pylist(), dtype=object), table.column("size").to_numpy()
    lists = table.column("row").combine_chunks()
    numbers, starts, widths = lists.values.to_numpy(), lists.offsets.to_numpy()[:-1], np.diff(lists.offsets.to_numpy())
    for which in np.argsort(first):
        places, width = parts[which], int(widths[first[which]])
        if (widths[places] != width).any():
            raise ValueError("rows of different widths")
        task, metric, model = (str(key[first[which]].as_py()) for key in keys)
        rows = numbers[starts[places][:, None] + np.arange(width)]
        yield Measurement(task, metric, model, tuple(units[places]), tuple(sizes[places].tolist()), rows)
