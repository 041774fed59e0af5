"""Read and write measurements.parquet: every model's sufficient statistics, one parquet row per unit.

The metadata hold everything else that a comparison needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalharness.errors import UsageError
from evalharness.records import LATER
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import ExampleError, Measurement, MetricFacts, TaskFacts
from evalharness.records.results import Drift, DriftForecast, ModelRow
from evalharness.results.digest import with_digest
from evalharness.results.files import MEASUREMENTS, find_run_file, write_bytes
from evalharness.results.structuring import AGAIN, SCHEMA_VERSION, Form, parse_document, structure_json
from evalharness.stats.enums import MetricKind

FACTS_KEY = b"evalharness"
RESTORE = "give the command that wrote it again; a run takes earlier answers from its store"
FORM = Form(what="measurements", restore=RESTORE)
ROUNDING = 1e-9  # rounding error that may take a mean beyond its bounds
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
class _OpaquePoint:
    """The score of an opaque metric: one number for all predictions, without rows."""

    task: str
    metric: str
    model: str
    point: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The JSON in the metadata of measurements.parquet: a MeasuredRun without its measurements, and the points of
    opaque metrics.
    """

    points: tuple[_OpaquePoint, ...]
    plan: ComparePlan
    facts: tuple[TaskFacts, ...]
    models: tuple[ModelRow, ...]
    signature: Mapping[str, Any]
    errors: tuple[ExampleError, ...]
    drift: tuple[Drift, ...]
    seen: Mapping[str, Mapping[str, tuple[str, ...]]]
    drift_forecasts: tuple[DriftForecast, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignatureTask:
    """The part of a task's signature that a comparison reads."""

    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignatureEngine:
    """The part of the engine's signature that a comparison reads."""

    fingerprint: str


def write_measurements(out: Path, run: MeasuredRun) -> None:
    """Write the rows of every model, and the rest of the run into the metadata. Raises StoreError."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
    for m in run.measurements:
        for name, value in (("task", m.task), ("metric", m.metric), ("model", m.model)):
            columns[name] += [value] * len(m.units)
        columns["unit"] += m.units
        columns["size"] += m.sizes
        columns["row"] += m.rows.tolist() if m.point is None else [[]] * len(m.units)
    opaque = [m for m in run.measurements if m.point is not None]
    head = _Head(
        points=tuple(
            _OpaquePoint(task=m.task, metric=m.metric, model=m.model, point=float(m.point or 0.0)) for m in opaque
        ),
        plan=run.plan,
        facts=run.facts,
        models=run.models,
        signature=run.signature,
        errors=run.errors,
        drift=run.drift,
        drift_forecasts=run.drift_forecasts,
        seen={
            model: {task: tuple(sorted(units)) for task, units in of.items()} for model, of in run.seen_units.items()
        },
    )
    table = pa.table(columns, schema=COLUMNS)
    metadata = json.dumps(with_digest(asdict(head), SCHEMA_VERSION, _digest(table)), allow_nan=False).encode()
    table = table.replace_schema_metadata({FACTS_KEY: metadata})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(out / MEASUREMENTS, sink.getvalue().to_pybytes())


def read_measurements(run: Path) -> MeasuredRun:
    """Read the run that `write_measurements` wrote. Raises UsageError with the column, or the task and metric."""
    path = find_run_file(run, MEASUREMENTS, "measurements")
    try:
        table = pq.read_table(path)
        _check_columns(table, path)
        document = parse_document(table.schema.metadata[FACTS_KEY], path, FORM, _digest(table))
        if isinstance(plan := document.get("plan"), dict):
            plan.pop("suite_margin", None)  # of the first rule of verdicts
        head = structure_json(document, _Head, path)
        points = {(p.task, p.metric, p.model): p.point for p in head.points}
        measurements = [replace(m, point=points.pop((m.task, m.metric, m.model), None)) for m in _measurements(table)]
        _check_signature(head, path)
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise UsageError(path, f"not the measurements of evalharness ({type(error).__name__})", AGAIN) from error
    measurements += [
        Measurement(task=task, metric=metric, model=model, units=(), sizes=(), rows=np.zeros((0, 0)), point=point)
        for (task, metric, model), point in points.items()
    ]
    _check_values(measurements, head, path)
    return MeasuredRun(
        plan=head.plan,
        facts=head.facts,
        measurements=tuple(measurements),
        models=head.models,
        signature=head.signature,
        errors=head.errors,
        drift=head.drift,
        drift_forecasts=head.drift_forecasts,
        seen_units={model: {task: frozenset(units) for task, units in of.items()} for model, of in head.seen.items()},
    )


def _digest(table: pa.Table) -> str:
    """Return SHA-256 of the columns' values, independent of their encoding in the file."""
    content = hashlib.sha256()
    for name in COLUMNS.names:
        column = table.column(name).combine_chunks()
        if column.type == TEXT:
            column = column.cast(pa.binary())
            content.update(pc.binary_length(column).to_numpy().astype("<i4"))
            content.update(b"".join(column.to_pylist()))
        elif name == "row":
            content.update(np.diff(column.offsets.to_numpy()).astype("<i4"))
            content.update(column.flatten().to_numpy().astype("<f8"))
        else:
            content.update(column.to_numpy().astype("<i4"))
    return content.hexdigest()


def _check_columns(table: pa.Table, path: Path) -> None:
    for column in COLUMNS:
        if column.name not in table.column_names:
            raise UsageError(path, f"the column {column.name!r} is missing", AGAIN)
        values = table.column(column.name)
        if values.type != column.type:
            raise UsageError(path, f"the column {column.name!r} holds {values.type}, not {column.type}", AGAIN)
        numbers = values.combine_chunks().flatten() if column.name == "row" else values
        if values.null_count or numbers.null_count:
            raise UsageError(path, f"the column {column.name!r} holds null", AGAIN)


def _check_values(measurements: Sequence[Measurement], head: _Head, path: Path) -> None:
    """Raise UsageError for measurements that are impossible for the metrics in the head; they cannot be compared."""
    metrics = {(fact.name, metric.id): metric for fact in head.facts for metric in fact.metrics}
    widths: dict[tuple[str, str], int] = {}
    for m in measurements:
        key = (m.task, m.metric)
        if key not in metrics:
            continue
        if m.units and m.rows.shape[1] != widths.setdefault(key, m.rows.shape[1]):
            wrong = f"rows of {m.rows.shape[1]} numbers, those of another model have {widths[key]}"
        else:
            wrong = _wrong_values(m, metrics[key])
        if wrong:
            raise UsageError(f"{path}: {m.task} by {m.metric} of {m.model}", wrong, AGAIN)


def _wrong_values(m: Measurement, metric: MetricFacts) -> str:
    """Return what is wrong with the numbers of one model; "" if nothing is."""
    low, high = metric.ends
    width = {MetricKind.BINARY: 2, MetricKind.GRADED: 2, MetricKind.OPAQUE: 0}.get(metric.kind, m.rows.shape[1])
    if m.units and m.rows.shape[1] != width:
        return f"rows of {m.rows.shape[1]} numbers, a {metric.kind} metric has {width}"
    if min(m.sizes, default=1) < 1:
        return f"a unit of {min(m.sizes)} examples"
    if len(set(m.units)) < len(m.units):
        return "the same unit twice"
    if not np.isfinite(m.rows).all():
        return "a row that is not finite"
    values = np.array([] if m.point is None else [m.point])
    if metric.kind in (MetricKind.BINARY, MetricKind.GRADED):
        if (m.rows[:, 1:] < 0).any():
            return "a row of less than no examples"
        if (m.rows[:, 1:] > np.array(m.sizes)[:, None]).any():
            return "a row of more examples than its unit has"
        values = m.rows[:, 0] / np.where(m.rows[:, 1] == 0, 1.0, m.rows[:, 1])
    outside = values[(values < low - ROUNDING) | (values > high + ROUNDING)]
    return f"{outside[0]:g} is not between {low:g} and {high:g}" if len(outside) else ""


def _check_signature(head: _Head, path: Path) -> None:
    """Check the keys of the signature that comparisons read; other keys may have any value. Raises UsageError."""
    needed: dict[str, Any] = {
        "margin": float | None,
        "margins": Mapping[str, float],
        "engine": _SignatureEngine,
        **{f"tasks.{fact.name}": _SignatureTask for fact in head.facts},
    }
    for key, kind in needed.items():
        group, _, name = key.partition(".")
        value = head.signature.get(group)
        value = value.get(name) if name and isinstance(value, dict) else value
        if is_dataclass(kind) and isinstance(value, dict):
            value = {field.name: value[field.name] for field in fields(kind) if field.name in value}
        if value is None and (key != "margin" or key not in head.signature):
            raise UsageError(path, f"signature.{key} is missing", AGAIN)
        structure_json(value, kind, path, f"signature.{key}")


def _measurements(table: pa.Table) -> Iterator[Measurement]:
    """Build the measurements from the rows, by task, metric and model, in order of first appearance.

    Raises ValueError for rows of different widths.
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
        yield Measurement(
            task=task,
            metric=metric,
            model=model,
            units=tuple(units[places]),
            sizes=tuple(sizes[places].tolist()),
            rows=rows,
        )
