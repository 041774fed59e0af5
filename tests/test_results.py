"""What a run leaves can be read back as it was, is the same bytes every time, and hostile names stay inside the
folder.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from measured_runs import ACC, measured_run, task

from evalharness import results
from evalharness.errors import StoreError, UsageError
from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Comparison, Estimate, FlipShares, MeanDifference
from evalharness.records.measurements import ExampleError, Measurement, MetricFacts, Sample, TaskFacts
from evalharness.records.results import ModelRow, Results
from evalharness.results.measurements import COLUMNS, FACTS_KEY

COMPARISON = Comparison(
    task="sst2",
    family="glue",
    level="task",
    unit=True,
    metric="acc",
    primary=True,
    candidate="c",
    n=3,
    base=Estimate(value=0.5, low=0.2, high=0.8),
    candidate_score=Estimate(value=1 / 3),
    difference=Estimate(value=-1 / 6, low=-0.5, high=0.1),
    ci_level=0.9,
    lost=1,
    gained=0,
    p_forgotten=0.2,
    p_forgotten_adjusted=0.4,
    p_retained=0.9,
    p_difference=1.0,
    margin=0.02,
    verdict="inconclusive",
    flags=("suspect",),
    available=30,
)
BASE = ModelRow(
    name="b", kind="base", fingerprint="f0", base=None, parameters=100, trainable=0, trainable_share=0.0, bytes=400
)
CANDIDATE = ModelRow(
    name="c",
    kind="lora",
    fingerprint="f1",
    base="b",
    parameters=110,
    trainable=10,
    trainable_share=10 / 110,
    bytes=40,
    target_task="topics",
    target_gain=Estimate(value=0.5, low=0.4, high=0.6),
    learned_target=True,
)
RESULTS = Results(
    signature={"suite": "demo", "seed": 1},
    models=(BASE, CANDIDATE),
    comparisons=(COMPARISON,),
    errors=(ExampleError(task="sst2", model="c", example="0-aa", reason="non-finite logits"),),
)


def sample(key: str, score: float | None, output: str = "x") -> Sample:
    return Sample(id=key, unit=key, prompt="prompt", output=output, reference="gold", score=score)


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
    assert list(document) == [
        "schema_version",
        "digest",
        "verdict_rule",
        "signature",
        "models",
        "comparisons",
        "errors",
    ]
    assert (
        list(document["comparisons"][0])
        == (
            "task family level unit metric primary candidate n base candidate_score difference ci_level lost gained "
            "p_forgotten p_forgotten_adjusted p_retained p_difference margin verdict flags would_decide available "
            "points span retention flips adjustment q_forgotten q_difference general capped median stopping "
            "variant examples repeated left_out base_answers candidate_answers unfit base_parts candidate_parts human"
        ).split()
    )
    assert (
        list(document["models"][0])
        == (
            "name kind fingerprint base parameters trainable trainable_share bytes target_task target_gain "
            "learned_target training soft_prompt"
        ).split()
    )


def test_measures_beside_the_verdict_come_back(tmp_path: Path) -> None:
    flips = FlipShares(
        share=0.3,
        lost=0.2,
        gained=0.1,
        forgotten=Estimate(value=0.15, low=0.1, high=0.2),
        learned=Estimate(value=0.05, low=0.0, high=0.1),
    )
    part = replace(
        COMPARISON,
        retention=Estimate(value=0.9, low=0.8, high=1.0),
        flips=flips,
        adjustment="Benjamini-Hochberg",
        q_forgotten=0.4,
        q_difference=0.5,
    )
    suite = replace(
        COMPARISON, task="demo", level="suite", general=MeanDifference(value=-0.01, low=-0.02, high=0.0, units=3)
    )
    family = replace(COMPARISON, task="glue", level="family", flips=FlipShares(share=0.3, lost=0.2, gained=0.1))
    full = replace(RESULTS, comparisons=(part, family, suite))
    results.write_results(tmp_path, full)
    assert results.read_results(tmp_path) == full
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["schema_version"] == 2
    assert document["comparisons"][0]["flips"]["forgotten"] == {"value": 0.15, "low": 0.1, "high": 0.2}


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    broken = replace(RESULTS, comparisons=(replace(COMPARISON, p_forgotten=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.write_results(tmp_path, broken)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "results.json: not JSON"),
        ("{", "results.json: not JSON"),
        ('{"schema_version": NaN}', "results.json: not JSON (schema_version: NaN is no number)"),
        ('{"schema_version": 2, "models": [{"seconds": 1e999}]}', "(models[0].seconds: 1e999 is beyond all numbers)"),
        ('{"schema_version": "2"}', "results.json: schema_version: not a whole number (a text)"),
        ("[" * 100_000, "results.json: not JSON (it is nested too deeply)"),
        ("[]", "results.json: not the results of evalharness"),
        ("{}", "results.json: not the results of evalharness"),
        (
            '{"schema_version": 1}',
            "results of schema version 1, this evalharness reads 2; run the evaluation again, or",
        ),
        ('{"schema_version": 99}', "results of schema version 99, this evalharness reads 2"),
        ('{"schema_version": 2, "verdict_rule": 2, "models": 3}', "results.json: the key 'signature' is missing"),
        ('{"schema_version": 2, "verdict_rule": "2"}', "results.json: "),
        ('{"schema_version": 2, "verdict_rule": 4}', "of rule 4, this evalharness knows rules up to 3"),
        ('{"schema_version": 2}', "of rule 1, this evalharness judges by rule 2; judge its measurements again with"),
    ],
)
def test_a_file_that_is_no_results_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UsageError, match=r"results\.json") as error:
        results.read_results(tmp_path)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("comparisons", 0, "difference", "low"), "0.1", "comparisons[0].difference.low: not a number (a text)"),
        (("comparisons", 0, "difference", "low"), 10**400, "comparisons[0].difference.low: beyond all numbers"),
        (("comparisons", 0, "n"), 2.5, "comparisons[0].n: not a whole number (a number)"),
        (("comparisons", 0, "n"), True, "comparisons[0].n: not a whole number (true or false)"),
        (("comparisons", 0, "task"), None, "comparisons[0].task: not a text (null)"),
        (("comparisons", 0, "flags"), "improved", "comparisons[0].flags: not a list (a text)"),
        (("comparisons", 0, "flags", 0), "worse", "comparisons[0].flags[0]: 'worse' is none of suspect, "),
        (("comparisons", 0, "verdict"), "lost", "comparisons[0].verdict: 'lost' is none of forgotten, retained, "),
        (("comparisons", 0, "base"), [1], "comparisons[0].base: not an object (a list)"),
        (("comparisons", 0, "lots"), 1, "comparisons[0]: the key 'lots' is unknown"),
        (("models", 1, "training"), [], "models[1].training: not an object (a list)"),
        (("errors",), {}, "results.json: errors: not a list (an object)"),
        (("troubles",), [], "results.json: the key 'troubles' is unknown"),
    ],
)
def test_a_value_that_is_wrong_is_named_by_its_key(
    tmp_path: Path, where: tuple[str | int, ...], value: object, says: str
) -> None:
    document = _unsealed(results.results_text(RESULTS))
    inner = document
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    (tmp_path / "results.json").write_text(json.dumps(document))
    with pytest.raises(UsageError) as error:
        results.read_results(tmp_path)
    assert says in str(error.value) and str(error.value).endswith("; run the evaluation again")


def test_whole_numbers_stay_whole_and_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    document = _unsealed(results.results_text(RESULTS))
    document["comparisons"][0]["base"]["value"] = 1
    (tmp_path / "results.json").write_text(json.dumps(document))
    results.write_results(tmp_path, results.read_results(tmp_path))
    assert '"value": 1,' in (tmp_path / "results.json").read_text()
    del document["comparisons"][0]["difference"]
    (tmp_path / "results.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"comparisons\[0\]: the key 'difference' is missing"):
        results.read_results(tmp_path)


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results here"):
        results.read_results(tmp_path)
    with pytest.raises(UsageError, match="no measurements here"):
        results.read_measurements(tmp_path)


def _head(folder: Path) -> dict[str, object]:
    """The metadata of a run in which nothing was measured."""
    results.write_measurements(folder, measured_run([], []))
    return _unsealed(pq.read_schema(folder / "measurements.parquet").metadata[FACTS_KEY])


def _unsealed(text: str | bytes) -> dict[str, Any]:
    """A document without its digest, as a person edits it who knows of that."""
    document: dict[str, Any] = json.loads(text)
    del document["digest"]
    return document


def test_measurements_of_tasks_in_turns_and_of_rows_of_one_width_only(tmp_path: Path) -> None:
    """As a tool of somebody else's may leave them: in any order of rows, and wrong."""
    columns = {
        "task": list("abab"),
        "metric": ["m"] * 4,
        "model": ["x"] * 4,
        "unit": list("pqrs"),
        "size": [1, 2, 3, 4],
    }
    head = {FACTS_KEY: json.dumps(_head(tmp_path)).encode()}
    for rows, fine in (([[1.0, 1.0], [2.0], [3.0, 1.0], [4.0]], True), ([[1.0, 1.0], [2.0], [3.0], [4.0]], False)):
        table = pa.table({**columns, "row": rows}, schema=COLUMNS.with_metadata(head))
        pq.write_table(table, tmp_path / "measurements.parquet")
        if not fine:
            with pytest.raises(UsageError, match="not the measurements of evalharness"):
                results.read_measurements(tmp_path)
            continue
        first, second = results.read_measurements(tmp_path).measurements
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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 99}, "measurements of schema version 99, this evalharness reads 2"),
        ({"facts": [{"name": "sst2"}]}, "measurements.parquet: facts[0]: the key 'family' is missing"),
        (
            {"points": [{"task": "a", "metric": "m", "model": "x", "point": "1"}]},
            "points[0].point: not a number (a text)",
        ),
        ({"signature": None}, "signature: not an object (null)"),
        ({"signature": {"margin": None, "margins": {}}}, "signature.engine is missing"),
        ({"signature": {"margin": "x", "margins": {}}}, "signature.margin: "),
    ],
)
def test_measurements_with_another_head_are_refused_by_name(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    head = _head(tmp_path) | change
    columns = {name: [] for name in COLUMNS.names}
    table = pa.table(columns, schema=COLUMNS.with_metadata({FACTS_KEY: json.dumps(head).encode()}))
    pq.write_table(table, tmp_path / "measurements.parquet")
    with pytest.raises(UsageError) as error:
        results.read_measurements(tmp_path)
    assert says in str(error.value)


def test_a_chance_that_is_unknown_and_a_range_without_end_come_back(tmp_path: Path) -> None:
    metric = replace(ACC, id="perplexity", low=1.0, high=None, higher_is_better=False)
    run = measured_run([task("text", metric, chance=None)], [], models=RESULTS.models)
    results.write_measurements(tmp_path, run)
    read = results.read_measurements(tmp_path)
    assert read.facts == run.facts and read.facts[0].metrics[0].ends == (1.0, math.inf)


def test_measurements_of_before_answers_were_counted_are_read(tmp_path: Path) -> None:
    counts = AnswerCounts(answers=20, most_common="A", most_common_count=19, most_common_right=5, empty=1)
    run = measured_run([task("sst2", answers={"b": counts}, repeated=3)], [], models=RESULTS.models)
    results.write_measurements(tmp_path, run)
    assert results.read_measurements(tmp_path).facts == run.facts
    path = tmp_path / "measurements.parquet"
    table = pq.read_table(path)
    head = _unsealed(table.schema.metadata[FACTS_KEY])
    for key in ("answers", "repeated"):
        del head["facts"][0][key]
    pq.write_table(table.replace_schema_metadata({FACTS_KEY: json.dumps(head)}), path)
    (facts,) = results.read_measurements(tmp_path).facts
    assert (facts.answers, facts.repeated) == ({}, 0)


def test_measurements_come_back(tmp_path: Path) -> None:
    metric = MetricFacts(
        id="acc", name="acc", options={}, kind="binary", low=0.0, high=1.0, higher_is_better=True, signature="acc"
    )
    facts = TaskFacts(
        name="sst2",
        family="glue",
        version="1",
        primary="acc",
        margin=0.02,
        chance=0.5,
        available=30,
        truncated=1,
        failed={"c": 2},
        unparsed={},
        data_digest="d",
        prompts_digest="p",
        metrics=(metric,),
    )
    rows = np.array([[1.0, 1.0], [0.1 + 0.2, 1.0]])
    full = Measurement(task="sst2", metric="acc", model="b", units=("u1", "u2"), sizes=(1, 3), rows=rows)
    point = Measurement(
        task="sst2", metric="mine", model="b", units=("u1", "u2"), sizes=(1, 3), rows=np.zeros((2, 0)), point=0.25
    )
    seen = {"c": {"sst2": frozenset({"u2"})}}
    run = measured_run([facts], [full, point], signature={"note": "kept"}, seen_units=seen, models=RESULTS.models)
    results.write_measurements(tmp_path, run)
    first = (tmp_path / "measurements.parquet").read_bytes()
    read = results.read_measurements(tmp_path)
    read_full, read_point = read.measurements
    assert replace(read, measurements=run.measurements) == run and read.signature["note"] == "kept"
    assert (read_full.units, read_full.sizes, read_full.model) == (full.units, full.sizes, "b")
    np.testing.assert_array_equal(read_full.rows, rows)
    assert (read_point.point, read_point.units, read_point.sizes, read_point.rows.shape) == (
        0.25,
        ("u1", "u2"),
        (1, 3),
        (2, 0),
    )
    results.write_measurements(tmp_path, run)
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


def test_of_an_example_that_one_candidate_lost_all_answers_are_read(tmp_path: Path) -> None:
    other = replace(RESULTS.models[1], name="d")
    results.write_results(tmp_path, replace(RESULTS, models=(*RESULTS.models, other)))
    for model, scores in {"b": (1.0, 0.0), "c": (0.0, 0.0), "d": (1.0, 0.0)}.items():
        results.write_samples(tmp_path, "sst2", model, [sample(str(i), score) for i, score in enumerate(scores, 1)])
    flips = results.read_results(tmp_path).flips
    assert [(flip.candidate, flip.base.id, flip.direction) for flip in flips] == [
        ("c", "1", "lost"),
        ("d", "1", "same"),
    ]


def test_samples_that_are_wrong_are_named_by_line_and_key(tmp_path: Path) -> None:
    results.write_samples(tmp_path, "t", "m", [sample("1", 0.0), sample("2", 1.0)])
    path = results.samples_path(tmp_path, "t", "m")
    path.write_text(path.read_text().replace('"score": 1.0', '"score": "1"'))
    with pytest.raises(UsageError, match=r"m\.jsonl:2: score: not a number \(a text\)"):
        results.read_samples(tmp_path, "t", "m")
    path.write_text("no JSON")
    with pytest.raises(UsageError, match=r"m\.jsonl:1: not JSON"):
        results.read_samples(tmp_path, "t", "m")


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
    results.write_measurements(tmp_path, measured_run([], []))
    results.write_text(tmp_path / results.REPORT, "an older page")
    results.open_folder(tmp_path)
    assert not list(tmp_path.iterdir())


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


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    nothing = replace(
        COMPARISON, n=0, base=None, candidate_score=None, difference=None, lost=None, gained=None, p_forgotten=None,
        p_forgotten_adjusted=None, p_retained=None, p_difference=None,
    )  # fmt: skip
    written = replace(RESULTS, comparisons=(nothing,))
    results.write_results(tmp_path, written)
    assert results.read_results(tmp_path) == written
    (row,) = json.loads((tmp_path / "results.json").read_text())["comparisons"]
    assert row["base"] is row["candidate_score"] is row["difference"] is row["p_retained"] is None
