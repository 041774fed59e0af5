"""Files of a run that were damaged or edited: the same result or one clear error, never another result or a crash."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import exit_code
from faults.edits import edits
from measured_runs import ACC, MCC, ROUGE, measured_run, task

from evalharness import api, results
from evalharness.analysis.analyse import analyse
from evalharness.analysis.gate import judge
from evalharness.analysis.judging import judged_results
from evalharness.errors import EvalHarnessError
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, MetricFacts
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow
from evalharness.report.terminal import verdict_lines
from evalharness.results.files import RESULTS
from evalharness.results.measurements import FACTS_KEY, MEASUREMENTS


def model(name: str, base: str | None) -> ModelRow:
    sizes = {"parameters": 100, "trainable": 10, "trainable_share": 0.1, "bytes": 400}
    return ModelRow(name=name, kind="full" if base else "base", fingerprint=name * 3, base=base, **sizes)


def measured(name: str, metric: MetricFacts, of: str, rows: np.ndarray) -> Measurement:
    units = tuple(f"{number}-é" for number in range(len(rows)))
    return Measurement(task=name, metric=metric.id, model=of, units=units, sizes=(1,) * len(rows), rows=rows)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two models on three tasks, one of them scored as a whole."""
    rng, rows = np.random.default_rng(0), []
    for of in ("base", "c"):
        right = rng.integers(0, 2, 60).astype(float)
        rows.append(measured("sst2", ACC, of, np.column_stack([right, np.ones(60)])))
        rows.append(measured("sum", ROUGE, of, np.column_stack([rng.random(40), np.ones(40)])))
        rows.append(measured("cola", MCC, of, np.eye(4)[rng.integers(0, 4, 50)]))
    facts = [task("sst2"), task("sum", ROUGE), task("cola", MCC, chance=0.0)]
    run = measured_run(facts, rows, models=(model("base", None), model("c", "base")))
    folder = tmp_path_factory.mktemp("left")
    results.write_measurements(folder, run)
    results.write_results(folder, analyse(run))
    return folder


def content(run: MeasuredRun) -> object:
    """All that was read, in a form that compares."""
    rows = [(m.task, m.metric, m.model, m.units, m.sizes, m.rows.tobytes(), m.point) for m in run.measurements]
    return rows, run.plan, run.facts, run.models, run.signature, run.errors, run.drift, run.seen_units


READ: dict[str, Callable[[Path], object]] = {
    MEASUREMENTS: lambda folder: content(results.read_measurements(folder)),
    RESULTS: lambda folder: results.results_text(results.read_results(folder)),
}


def flips(folder: Path, name: str, count: int, seed: int) -> int:
    """Flip single bits of a file; assert that what is read is the same, or refused. Returns how many were refused."""
    data, whole, refused = (folder / name).read_bytes(), READ[name](folder), 0
    try:
        for place in random.Random(seed).sample(range(8 * len(data)), count):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            (folder / name).write_bytes(flipped)
            try:
                assert READ[name](folder) == whole, f"bit {place} of {name} makes another result"
            except EvalHarnessError:
                refused += 1
    finally:
        (folder / name).write_bytes(data)
    return refused


@pytest.mark.fault(7)
@pytest.mark.parametrize(("count", "least"), [(60, 20), pytest.param(5000, 2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_never_makes_another_result(
    left: Path, name: str, count: int, least: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("injected", count)
    assert flips(left, name, count, seed=count) > least


@pytest.mark.fault(7)
def test_an_edited_file_says_that_it_was_changed_and_the_advice_works(
    left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(left, tmp_path / "run"))
    text = (run / RESULTS).read_text()
    (run / RESULTS).write_text(text.replace('"n": 60', '"n": 61', 1))
    for command in ("gate", "report"):
        assert exit_code(command, run) == 2
        errors = capsys.readouterr().err
        assert f"{RESULTS}: was changed after it was written" in errors and "compare RUN --out RUN" in errors
    assert exit_code("compare", run, "--out", run) == 0
    assert results.read_results(run).comparisons == results.read_results(left).comparisons
    assert exit_code("report", run) == 0
    table = pq.read_table(run / MEASUREMENTS)
    sizes = pa.array([2, *table.column("size").to_pylist()[1:]], pa.int32())
    pq.write_table(table.set_column(table.column_names.index("size"), "size", sizes), run / MEASUREMENTS)
    assert exit_code("compare", run) == 2
    assert f"{MEASUREMENTS}: was changed after it was written" in capsys.readouterr().err


@pytest.mark.fault(25)
@pytest.mark.parametrize("count", [30, pytest.param(600, marks=pytest.mark.slow)])
def test_edits_without_a_digest_are_read_or_refused(
    left: Path, tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    """As a hostile person leaves them: one value of another kind, beyond its range, or gone."""
    record_property("injected", 2 * count)
    run, rng = Path(shutil.copytree(left, tmp_path / "run")), random.Random(0)
    table = pq.read_table(run / MEASUREMENTS)
    for document in edits(json.loads((left / RESULTS).read_text()), rng, count):
        (run / RESULTS).write_text(json.dumps(document))
        with contextlib.suppress(EvalHarnessError):
            found, _ = judged_results(run)
            assert judge(found, Policy()).exit_code in (0, 3, 4, 5)
            assert all(isinstance(line, str) for line in verdict_lines(found))
    for head in edits(json.loads(table.schema.metadata[FACTS_KEY]), rng, count):
        pq.write_table(table.replace_schema_metadata({FACTS_KEY: json.dumps(head)}), run / MEASUREMENTS)
        with contextlib.suppress(EvalHarnessError):
            assert results.results_text(api.compare(run).record)
