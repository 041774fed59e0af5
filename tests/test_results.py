"""What a run leaves can be read back as it was, is the same bytes every time, and hostile names stay inside the
folder.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalharness import results
from evalharness.errors import StoreError, UsageError
from evalharness.records.comparison import Comparison, Estimate, FlipShares, MeanDifference
from evalharness.records.measurements import ExampleError, Measurement, MetricFacts, Sample, TaskFacts
from evalharness.records.results import ModelRow, Results

COMPARISON = Comparison(
    task="sst2", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="c", n=3,
    base=Estimate(0.5, 0.2, 0.8), candidate_score=Estimate(1 / 3), difference=Estimate(-1 / 6, -0.5, 0.1),
    ci_level=0.9, lost=1, gained=0, p_forgotten=0.2, p_forgotten_adjusted=0.4, p_retained=0.9, p_difference=1.0,
    margin=0.02, verdict="inconclusive",
    flags=("few_changes",), examples_needed=None, available=30,
)  # fmt: skip
BASE = ModelRow("b", "base", "f0", None, 100, 0, 0.0, 400)
CANDIDATE = ModelRow("c", "lora", "f1", "b", 110, 10, 10 / 110, 40, "topics", Estimate(0.5, 0.4, 0.6), True)
RESULTS = Results(
    {"suite": "demo", "seed": 1},
    (BASE, CANDIDATE),
    (COMPARISON,),
    (ExampleError("sst2", "c", "0-aa", "non-finite logits"),),
)


def sample(key: str, score: float | None, output: str = "x") -> Sample:
    return Sample(key, key, "prompt", output, "gold", score)


def test_results_come_back_and_are_the_same_bytes(tmp_path: Path) -> None:
    results.write_results(tmp_path, RESULTS)
    first = (tmp_path / "results.json").read_bytes()
    assert results.read_results(tmp_path) == RESULTS
    assert results.read_results(tmp_path / "results.json") == RESULTS
    results.write_results(tmp_path, results.read_results(tmp_path))
    assert (tmp_path / "results.json").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_results_have_the_documented_keys(tmp_path: Path) -> None:
    results.write_results(tmp_path, RESULTS)
    document = json.loads((tmp_path / "results.json").read_text())
    assert list(document) == ["schema_version", "signature", "models", "comparisons", "errors"]
    assert (
        list(document["comparisons"][0])
        == (
            "task family level unit metric primary candidate n base candidate_score difference ci_level lost gained "
            "p_forgotten p_forgotten_adjusted p_retained p_difference margin verdict flags examples_needed available "
            "retention flips adjustment q_forgotten q_difference general stopping"
        ).split()
    )
    assert (
        list(document["models"][0])
        == (
            "name kind fingerprint base parameters trainable trainable_share bytes target_task target_gain "
            "learned_target training"
        ).split()
    )


def test_measures_beside_the_verdict_come_back_and_older_results_have_none(tmp_path: Path) -> None:
    flips = FlipShares(0.3, 0.2, 0.1, Estimate(0.15, 0.1, 0.2), Estimate(0.05, 0.0, 0.1))
    part = replace(
        COMPARISON,
        retention=Estimate(0.9, 0.8, 1.0),
        flips=flips,
        adjustment="Benjamini-Hochberg",
        q_forgotten=0.4,
        q_difference=0.5,
    )
    suite = replace(COMPARISON, task="demo", level="suite", general=MeanDifference(-0.01, -0.02, 0.0, 3))
    family = replace(COMPARISON, task="glue", level="family", flips=FlipShares(0.3, 0.2, 0.1))
    full = replace(RESULTS, comparisons=(part, family, suite))
    results.write_results(tmp_path, full)
    assert results.read_results(tmp_path) == full
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["schema_version"] == 1 and document["comparisons"][0]["flips"]["forgotten"] == {
        "value": 0.15,
        "low": 0.1,
        "high": 0.2,
    }
    for row in document["comparisons"]:
        for key in ("retention", "flips", "adjustment", "q_forgotten", "q_difference", "general"):
            del row[key]
    (tmp_path / "results.json").write_text(json.dumps(document))
    old = results.read_results(tmp_path)
    assert old.comparisons[0] == COMPARISON and old.comparisons[2].general is None


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    broken = replace(RESULTS, comparisons=(replace(COMPARISON, p_forgotten=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write_results(tmp_path, broken)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 99}', '{"schema_version": 1, "models": 3}']
)
def test_a_file_that_is_no_results_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError, match=r"results\.json"):
        results.read_results(tmp_path)


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results here"):
        results.read_results(tmp_path)
    with pytest.raises(UsageError, match="no measurements here"):
        results.read_measurements(tmp_path)


def test_measurements_of_tasks_in_turns_and_of_rows_of_one_width_only(tmp_path: Path) -> None:
    """As a tool of somebody else's may leave them: in any order of rows, and wrong."""
    columns = {
        "task": list("abab"),
        "metric": ["m"] * 4,
        "model": ["x"] * 4,
        "unit": list("pqrs"),
        "size": [1, 2, 3, 4],
    }
    head = {results.FACTS_KEY: json.dumps({"tasks": [], "points": [], "about": {}}).encode()}
    for rows, fine in (
        ([[1.0, 1.0], [2.0], [3.0, 1.0], [4.0]], True),
        ([[1.0, 1.0], [2.0], [3.0], [4.0]], False),
        ([None, [2.0], [3.0], [4.0]], False),
    ):
        table = pa.table({**columns, "row": rows}, schema=results.COLUMNS.with_metadata(head))
        pq.write_table(table, tmp_path / "measurements.parquet")
        if not fine:
            with pytest.raises(UsageError, match="not the measurements of evalharness"):
                results.read_measurements(tmp_path)
            continue
        _, (first, second), _ = results.read_measurements(tmp_path)
        assert (first.task, first.units, first.sizes, first.rows.tolist()) == (
            "a",
            ("p", "r"),
            (1, 3),
            [[1.0, 1.0], [3.0, 1.0]],
        )
        assert (second.task, second.units, second.sizes, second.rows.tolist()) == (
            "b",
            ("q", "s"),
            (2, 4),
            [[2.0], [4.0]],
        )


def test_measurements_come_back(tmp_path: Path) -> None:
    metric = MetricFacts("acc", "acc", {}, "binary", 0.0, 1.0, True, "acc")
    facts = TaskFacts("sst2", "glue", "1", "acc", 0.02, 0.5, 30, 1, {"c": 2}, {}, "d", "p", (metric,))
    rows = np.array([[1.0, 1.0], [0.1 + 0.2, 1.0]])
    full = Measurement("sst2", "acc", "b", ("u1", "u2"), (1, 3), rows)
    point = Measurement("sst2", "mine", "b", ("u1", "u2"), (1, 3), np.zeros((2, 0)), 0.25)
    results.write_measurements(tmp_path, [facts], [full, point], {"note": "kept"})
    first = (tmp_path / "measurements.parquet").read_bytes()
    read_facts, (read_full, read_point), about = results.read_measurements(tmp_path)
    assert (read_facts, about) == ((facts,), {"note": "kept"})
    assert (read_full.units, read_full.sizes, read_full.model) == (full.units, full.sizes, "b")
    np.testing.assert_array_equal(read_full.rows, rows)
    assert (read_point.point, read_point.units, read_point.sizes, read_point.rows.shape) == (
        0.25,
        ("u1", "u2"),
        (1, 3),
        (2, 0),
    )
    results.write_measurements(tmp_path, [facts], [full, point], {"note": "kept"})
    assert (tmp_path / "measurements.parquet").read_bytes() == first


def test_flips_are_the_examples_whose_score_moved(tmp_path: Path) -> None:
    results.write_results(tmp_path, RESULTS)
    results.write_samples(
        tmp_path, "sst2", "b", [sample("1", 1.0), sample("2", 0.0), sample("3", 1.0), sample("4", None)]
    )
    results.write_samples(
        tmp_path,
        "sst2",
        "c",
        [sample("1", 0.0), sample("2", 0.5), sample("3", 1.0), sample("4", 1.0), sample("5", 1.0)],
    )
    flips = results.read_results(tmp_path).flips
    assert [(flip.base.id, flip.direction) for flip in flips] == [("1", "lost"), ("2", "gained")]


def test_text_of_any_kind_survives_in_samples(tmp_path: Path) -> None:
    hostile = sample("1", 0.0, "</script>\u202e\x00\ud800 \u2028 naïve 😀\r\n")
    results.write_samples(tmp_path, "t", "m", [hostile])
    assert results.read_samples(tmp_path, "t", "m") == [hostile]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "..", ".hidden", "x" * 300, "a\x00b", "CON aux", "naïve", ""]
)
def test_odd_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    path = results.samples_path(tmp_path, name, name)
    assert path.resolve().is_relative_to(tmp_path.resolve() / "samples")
    results.write_samples(tmp_path, name, name, [sample("1", 1.0)])
    assert len(results.read_samples(tmp_path, name, name)) == 1
    assert results.file_name(name) != results.file_name(name + "x")


def test_an_older_result_is_taken_away_before_a_run_begins(tmp_path: Path) -> None:
    results.write_results(tmp_path, RESULTS)
    results.write_measurements(tmp_path, [], [], {})
    results.write_text(tmp_path / results.REPORT, "an older page")
    results.open_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write here"):
        results.open_folder(tmp_path / "file" / "out")
    with pytest.raises(StoreError, match="cannot be written"):
        results.write_text(tmp_path / "file" / "x.json", "{}")


def test_samples_of_an_older_run_go_and_nothing_else(tmp_path: Path) -> None:
    results.write_results(tmp_path, RESULTS)
    model = RESULTS.models[0].name
    signature = {**RESULTS.signature, "tasks": {"sst2": {}}}
    results.write_results(tmp_path, replace(RESULTS, signature=signature))
    results.write_samples(tmp_path, "sst2", model, [])
    results.write_text(tmp_path / "samples" / "mine.txt", "kept")
    assert results.samples_path(tmp_path, "sst2", model).exists()
    results.forget_samples(tmp_path)
    assert not results.samples_path(tmp_path, "sst2", model).exists()
    assert (tmp_path / "samples" / "mine.txt").read_text() == "kept"
    results.forget_samples(tmp_path / "nothing here")
