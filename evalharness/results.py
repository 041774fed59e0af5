"""What a run found, to its folder and back: results.json, measurements.parquet, samples/TASK/MODEL.jsonl, run.json.

Every file is written beside its place and renamed into it; results.json comes last, so its presence means a finished
run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.errors import DataError, StoreError, UsageError
from evalharness.records.comparison import Certificate, Comparison, Estimate, FlipShares, MeanDifference, Stopping
from evalharness.records.diagnosis import Diagnosis, Leaning, Measure, Spread, WrittenFlips
from evalharness.records.measurements import ExampleError, Measurement, MetricFacts, Sample, TaskFacts
from evalharness.records.results import Drift, Flip, ModelRow, Results

SCHEMA_VERSION = 1
RESULTS, MEASUREMENTS, SAMPLES, RUN, REPORT = (
    "results.json",
    "measurements.parquet",
    "samples",
    "run.json",
    "report.html",
)
OVERLAP = "overlap.jsonl"
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


def open_folder(out: Path) -> None:
    """Make the run's folder ready. Raises StoreError where nothing can be written there.

    What an older run concluded there is taken away, so that no part of it is taken for this run's if this one does not
    finish.
    """
    try:
        (out / SAMPLES).mkdir(parents=True, exist_ok=True)
        probe = out / f".write-test-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
        for name in (RESULTS, MEASUREMENTS, REPORT, OVERLAP):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            out, f"cannot write here ({error.strerror})", "name a folder that can be written with --out"
        ) from error


def forget_samples(out: Path) -> None:
    """Take away the samples that an older run left in the same folder, by the names in its results.json; nothing else
    that may lie there.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        document = json.loads((out / RESULTS).read_text(encoding="utf-8"))
        for task in document["signature"]["tasks"]:
            for model in document["models"]:
                samples_path(out, task, model["name"]).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing. Raises StoreError."""
    _write(path, text.encode("utf-8", errors="backslashreplace"))


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise StoreError(
            path, f"cannot be written ({error.strerror})", "make room, or name another folder with --out"
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=False, ensure_ascii=False, allow_nan=False) + "\n"


# ---- results.json ----------------------------------------------------------------------------------------------------


def results_text(results: Results) -> str:
    """results.json, able to be encoded: `results` without its flips (they follow from samples/). Raises ValueError if a
    number is not finite.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "signature": results.signature,
        "models": [asdict(model) for model in results.models],
        "comparisons": [asdict(comparison) for comparison in results.comparisons],
        "errors": [asdict(example_error) for example_error in results.errors],
        **({"drift": [asdict(drift) for drift in results.drift]} if results.drift else {}),
        **({"diagnoses": [asdict(diagnosis) for diagnosis in results.diagnoses]} if results.diagnoses else {}),
    }
    return _json(document).encode(errors="backslashreplace").decode()


def write_results(out: Path, results: Results) -> None:
    write_text(out / RESULTS, results_text(results))


def read_results(run: Path) -> Results:
    """The results of a run folder, flips included. Raises UsageError where there are none, or of another schema
    version.
    """
    path = run / RESULTS if run.is_dir() else run
    if not path.is_file():
        raise UsageError(path, "no results here", "name the folder that a finished `evalharness run` left (its --out)")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise UsageError(path, f"results of schema version {version}, this evalharness reads {SCHEMA_VERSION}")
        results = Results(
            signature=document["signature"],
            models=tuple(read_model(fields) for fields in document["models"]),
            comparisons=tuple(_comparison(fields) for fields in document["comparisons"]),
            errors=tuple(ExampleError(**fields) for fields in document["errors"]),
            drift=tuple(_drift(fields) for fields in document.get("drift", ())),
            diagnoses=tuple(_diagnosis(fields) for fields in document.get("diagnoses", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            path, f"not a results.json of evalharness ({type(error).__name__}: {error})", "run the evaluation again"
        ) from error
    return replace(results, flips=tuple(read_flips(path.parent, results)))


def _estimate(fields: Mapping[str, Any] | None) -> Estimate | None:
    return None if fields is None else Estimate(**fields)


def read_model(fields: Mapping[str, Any]) -> ModelRow:
    """A model as results.json and the metadata of measurements.parquet list it. Raises KeyError, TypeError for anything
    else.
    """
    return ModelRow(**{**fields, "target_gain": _estimate(fields["target_gain"])})


def _drift(fields: Mapping[str, Any]) -> Drift:
    return Drift(**{**fields, **{key: _estimate(fields[key]) for key in ("kl", "agreement", "cross_entropy_change")}})


def _diagnosis(fields: Mapping[str, Any]) -> Diagnosis:
    sides = ("base", "candidate", "difference")
    measures = tuple(
        Measure(**{**each, **{side: Estimate(**each[side]) for side in sides}}) for each in fields["measures"]
    )
    flips = WrittenFlips(
        **{**fields["flips"], **{key: Estimate(**fields["flips"][key]) for key in ("unreadable", "wrong", "balance")}}
    )
    leaning = None if fields["leaning"] is None else {side: Leaning(**of) for side, of in fields["leaning"].items()}
    spread = (
        None
        if fields["spread"] is None
        else Spread(**{**fields["spread"], **{side: tuple(fields["spread"][side]) for side in sides}})
    )
    return Diagnosis(**{**fields, "measures": measures, "flips": flips, "leaning": leaning, "spread": spread})


def _comparison(fields: Mapping[str, Any]) -> Comparison:
    estimates = {key: Estimate(**fields[key]) for key in ("base", "candidate_score", "difference")}
    beside: dict[str, Any] = {
        "retention": _estimate(fields.get("retention")),
        "flips": _flip_shares(fields.get("flips")),
    }
    if fields.get("general") is not None:
        beside["general"] = MeanDifference(**fields["general"])
    if (stopping := fields.get("stopping")) is not None:
        of = stopping["certificate"]
        beside["stopping"] = Stopping(**{**stopping, "certificate": None if of is None else Certificate(**of)})
    return Comparison(**{**fields, **estimates, **beside, "flags": tuple(fields["flags"])})


def _flip_shares(fields: Mapping[str, Any] | None) -> FlipShares | None:
    return (
        None
        if fields is None
        else FlipShares(**{**fields, **{key: _estimate(fields[key]) for key in ("forgotten", "learned")}})
    )


# ---- measurements.parquet --------------------------------------------------------------------------------------------


def write_measurements(
    out: Path, facts: Sequence[TaskFacts], measurements: Sequence[Measurement], about: Mapping[str, Any]
) -> None:
    """Rows of every model, one parquet row a unit; task facts, opaque points and `about` (models, groups, plan) in the
    schema's metadata.
    """
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
    _write(out / MEASUREMENTS, sink.getvalue().to_pybytes())


def run_and_model(text: str) -> tuple[Path, str]:
    """RUN[#NAME] as the run's path and the model's name (empty: none); what exists as it stands is a path, whatever is
    in its name.
    """
    path, sign, name = text.rpartition("#")
    return (Path(path), name) if sign and not Path(text).exists() else (Path(text), "")


def read_measurements(run: Path) -> tuple[tuple[TaskFacts, ...], tuple[Measurement, ...], dict[str, Any]]:
    """Task facts, measurements and `about` as `write_measurements` was given them. Raises UsageError."""
    path = run / MEASUREMENTS if run.is_dir() else run
    if not path.is_file():
        raise UsageError(
            path, "no measurements here", "name the folder that a finished `evalharness run` left (its --out)"
        )
    try:
        table = pq.read_table(path)
        head = json.loads(table.schema.metadata[FACTS_KEY])
        facts = tuple(_task_facts(fields) for fields in head["tasks"])
        points = {(p["task"], p["metric"], p["model"]): p["point"] for p in head["points"]}
        found = [Measurement(*of, *columns, points.pop(of, None)) for of, columns in _grouped(table)]
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        raise UsageError(
            path, f"not the measurements of evalharness ({type(error).__name__})", "run the evaluation again"
        ) from error
    found += [Measurement(*of, (), (), np.zeros((0, 0)), point) for of, point in points.items()]
    return facts, tuple(found), head["about"]


def _grouped(
    table: pa.Table,
) -> Iterator[tuple[tuple[str, str, str], tuple[tuple[str, ...], tuple[int, ...], NDArray[np.float64]]]]:
    """((task, metric, model), (units, sizes, rows)) in the order in which they first come. Raises ValueError for rows
    of different widths.
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
        rows = numbers[starts[places][:, None] + np.arange(width)]
        yield (
            tuple(key[first[which]].as_py() for key in keys),
            (tuple(units[places]), tuple(sizes[places].tolist()), rows),
        )  # type: ignore[misc]


def _task_facts(fields: Mapping[str, Any]) -> TaskFacts:
    return TaskFacts(
        **{
            **fields,
            "metrics": tuple(MetricFacts(**metric) for metric in fields["metrics"]),
            "partly": tuple(fields.get("partly", ())),
        }
    )


# ---- samples/ --------------------------------------------------------------------------------------------------------


def file_name(name: str) -> str:
    """A task's or model's name as a file name: itself where harmless, else its harmless letters and a hash."""
    harmless = re.sub(r"[^A-Za-z0-9._+@-]", "_", name).lstrip(".")[:80]
    return harmless if harmless == name else f"{harmless}-{fingerprint.of_value(name)[:8]}"


def samples_path(out: Path, task: str, model: str) -> Path:
    return out / SAMPLES / file_name(task) / f"{file_name(model)}.jsonl"


def write_samples(out: Path, task: str, model: str, samples: Sequence[Sample]) -> None:
    """One JSON line an example, in the order of the evaluation."""
    lines = [json.dumps(asdict(sample), ensure_ascii=True, allow_nan=False) for sample in samples]
    write_text(samples_path(out, task, model), "".join(f"{line}\n" for line in lines))


def read_samples(out: Path, task: str, model: str) -> list[Sample]:
    """The samples of one task and model; none where the file is missing (a report may be made without them). Raises
    DataError.
    """
    path = samples_path(out, task, model)
    if not path.is_file():
        return []
    try:
        return [Sample(**json.loads(line)) for line in path.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise DataError(path, f"not a samples file of evalharness ({error})", "run the evaluation again") from error


def read_flips(out: Path, results: Results) -> Iterator[Flip]:
    """Examples whose own score differs between base and candidate, by task and candidate; corpus metrics have none.
    Written answers are among them
    where a diagnosis rests on them."""
    tasks = dict.fromkeys(c.task for c in results.comparisons if c.level == "task" and c.primary)
    groups = results.signature.get("groups", {})
    for model in results.models:
        if model.base is None or not model.judged:
            continue
        twins = [
            name
            for found in results.diagnoses
            if found.candidate == model.name
            for name in groups.get(found.twin, [found.twin])
        ]
        for task in dict.fromkeys([*tasks, *twins]):
            base = {sample.id: sample for sample in read_samples(out, task, model.base)}
            for sample in read_samples(out, task, model.name):
                before = base.get(sample.id)
                if before is None or before.score is None or sample.score is None or before.score == sample.score:
                    continue
                yield Flip(task, model.name, "lost" if sample.score < before.score else "gained", before, sample)


# ---- run.json --------------------------------------------------------------------------------------------------------


def write_run(out: Path, facts: Mapping[str, Any]) -> None:
    """What differs from run to run: times, cache hits, memory, paths, the command."""
    write_text(out / RUN, _json(facts))


def read_run(run: Path) -> dict[str, Any] | None:
    """run.json's content, or None where it is missing or unreadable (it decides nothing)."""
    try:
        return dict(json.loads((run / RUN).read_text()))
    except (OSError, ValueError):
        return None
