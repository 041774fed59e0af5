"""What is made of the rows of a trace's runs, against counts made by hand and loops over them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiments.stages import column, measure
from measured_runs import measured_run

from evalharness import fingerprint, results
from evalharness.analysis.comparison import compare
from evalharness.experiments.continual_measures import OPAQUE, UNBOUNDED, Track
from evalharness.experiments.continual_metrics import stages_of
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.results import ModelRow, Results
from evalharness.records.tasks import Group


def test_a_stage_that_taught_a_task_is_the_last_of_the_first_series() -> None:
    def at(*trained: str) -> int:
        track = Track(
            base="b",
            stages=tuple(map(str, range(len(trained)))),
            learned={str(i): tuple(of) for i, of in enumerate(trained)},
        )
        return track.learned_at({"a"})

    assert [at("b", "b"), at("a", "b", "a"), at("a", "a", "b"), at("b", "ab", "a"), at("b")] == [0, 1, 2, 3, 0]


MODELS = ("base", "s1", "s2", "s3", "joint")


ACC = MetricFacts(
    id="acc", name="acc", options={}, kind="binary", low=0.0, high=1.0, higher_is_better=True, signature="acc"
)


MCC = MetricFacts(
    id="mcc", name="mcc", options={}, kind="corpus", low=-1.0, high=1.0, higher_is_better=True, signature="mcc"
)


BRIER = MetricFacts(
    id="brier_score",
    name="brier_score",
    options={},
    kind="graded",
    low=0.0,
    high=2.0,
    higher_is_better=False,
    signature="brier",
)


POINT = MetricFacts(
    id="x",
    name="x",
    options={"hf_evaluate": True},
    kind="opaque",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    signature="x",
)


LOSS = MetricFacts(
    id="loss", name="loss", options={}, kind="graded", low=0.0, high=None, higher_is_better=False, signature="loss"
)


def task(name: str, metric: MetricFacts, chance: float | None = 0.0, family: str = "f") -> TaskFacts:
    return TaskFacts(
        name=name,
        family=family,
        version="1",
        primary=metric.id,
        margin=0.02,
        chance=chance,
        available=500,
        truncated=0,
        failed={},
        unparsed={},
        data_digest="data",
        prompts_digest="prompts",
        metrics=(metric,),
    )


def folder(out: Path, facts: Sequence[TaskFacts], rows: Mapping[str, Any], groups: tuple[Group, ...] = ()) -> Path:
    """A finished run: `rows[task]` are (models, units, width), or the models' points."""
    measurements = []
    for fact in facts:
        for model, own in zip(MODELS, rows[fact.name], strict=True):
            whole = fact.metrics[0].kind != "opaque"
            units = tuple(map(str, range(len(own) if whole else 50)))
            own, point = (own, None) if whole else (np.zeros((50, 0)), float(own))
            measurements.append(
                Measurement(
                    task=fact.name,
                    metric=fact.metrics[0].id,
                    model=model,
                    units=units,
                    sizes=(1,) * len(units),
                    rows=own,
                    point=point,
                )
            )
    plan = ComparePlan(base="base", candidates=MODELS[1:], groups=groups)
    models = tuple(
        ModelRow(
            name=name,
            kind="full",
            fingerprint=name,
            base=None if name == "base" else "base",
            parameters=1,
            trainable=1,
            trainable_share=1.0,
            bytes=1,
        )
        for name in MODELS
    )
    out.mkdir()
    results.write_measurements(out, measured_run(facts, measurements, plan, models=models))
    results.write_results(
        out, Results(signature={"base": "base"}, models=models, comparisons=compare(facts, measurements, plan))
    )
    return out


def binary(rng: np.random.Generator, rates: Sequence[float], n: int = 120) -> np.ndarray:
    luck = rng.random(n)
    return np.stack([np.stack([(luck < rate).astype(float), np.ones(n)], axis=1) for rate in rates])


TRACK = Track(base="base", stages=("s1", "s2", "s3"), learned={"s1": ("one",), "s2": ("two",), "s3": ()}, joint="joint")


def test_measures_are_those_of_loops_over_the_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rates = {"one": (0.3, 0.9, 0.8, 0.5, 0.95), "two": (0.4, 0.5, 0.9, 0.85, 0.9), "old": (0.8, 0.7, 0.6, 0.65, 0.8)}
    rows = {name: binary(rng, of) for name, of in rates.items()}
    stages = stages_of(folder(tmp_path / "run", [task(name, ACC) for name in rates], rows), TRACK)
    scores = {name: of[:, :, 0].mean(axis=1) for name, of in rows.items()}
    one, two, old = scores["one"], scores["two"], scores["old"]
    assert not stages.scaled and [each.learned for each in stages.columns] == [1, 2, 0]
    for each in stages.columns:
        assert [cell.score.value for cell in each.cells] == pytest.approx(
            scores[each.name][1:4]
        ) and each.base.value == scores[each.name][0]
    assert measure(stages, "learned", "accuracy") == pytest.approx((one[3] + two[3]) / 2)
    assert measure(stages, "learned", "backward_transfer") == pytest.approx(((one[3] - one[1]) + (two[3] - two[2])) / 2)
    assert measure(stages, "learned", "forward_transfer") == pytest.approx(two[1] - two[0])
    assert measure(stages, "learned", "forgetting") == pytest.approx(((max(one[1:3]) - one[3]) + (two[2] - two[3])) / 2)
    assert measure(stages, "learned", "intransigence") == pytest.approx(((one[4] - one[1]) + (two[4] - two[2])) / 2)
    assert measure(stages, "general", "backward_transfer") == pytest.approx(old[3] - old[0])
    assert measure(stages, "all", "backward_transfer") == pytest.approx(
        (one[3] - one[1] + two[3] - two[2] + old[3] - old[0]) / 3
    )
    assert column(stages, "one").first == "s2" and [cell.reference for cell in column(stages, "two").cells] == [
        "base",
        None,
        "s2",
    ]
    assert column(stages, "one").cells[2].retained.value == pytest.approx(one[3] / one[1])  # type: ignore[union-attr]
    without = stages_of(tmp_path / "run", replace(TRACK, joint=None))
    assert measure(without, "learned", "intransigence") == "no --joint model" and measure(
        without, "learned", "accuracy"
    ) == measure(stages, "learned", "accuracy")
    assert json.loads((tmp_path / "run" / "results.json").read_text()) and stages.of == fingerprint.of_file(
        tmp_path / "run" / "results.json"
    )


def test_metrics_of_every_kind(tmp_path: Path) -> None:
    """Corpus metrics by their own function of summed rows, each on the scale of its best; what has no rows or no scale
    is shown and not averaged.
    """
    rng = np.random.default_rng(5)
    n, rates = 200, (0.9, 0.85, 0.6, 0.55, 0.9)
    gold, luck = rng.integers(0, 2, n), rng.random(n)
    said = [np.where(luck < rate, gold, 1 - gold) for rate in rates]
    cells = np.stack(
        [np.stack([(gold == g) & (of == s) for g in (0, 1) for s in (0, 1)], axis=1).astype(float) for of in said]
    )
    brier = np.stack([np.stack([0.4 + 0.1 * i + 0.05 * rng.standard_normal(n), np.ones(n)], axis=1) for i in range(5)])
    said_of = {
        "lower": brier,
        "points": np.array([0.5, 0.4, 0.3, 0.2, 0.5]),
        "acc": binary(rng, rates, n),
        "mcc": cells,
    }
    rows = {**said_of, "endless": brier + np.array([1.0, 0.0])}
    facts = [
        task("acc", ACC, 0.5),
        task("mcc", MCC),
        task("lower", BRIER, 1.0),
        task("points", POINT),
        task("endless", LOSS, None),
    ]
    stages = stages_of(folder(tmp_path / "run", facts, rows), TRACK)
    lower, points = column(stages, "lower"), column(stages, "points")
    assert stages.scaled and lower.scale == 2.0 and lower.first is not None and lower.cells[0].difference.value < 0
    assert (
        points.reason == OPAQUE and points.scale is None and points.first is None and points.cells[2].score.value == 0.2
    )
    assert (
        points.cells[2].score.low is None
        and points.cells[2].difference.value == pytest.approx(-0.3)
        and points.cells[0].p_adjusted is None
    )
    assert column(stages, "endless").reason == UNBOUNDED and column(stages, "endless").first is not None
    matthews = [np.corrcoef(gold, of)[0, 1] for of in said]
    assert [cell.score.value for cell in column(stages, "mcc").cells] == pytest.approx(matthews[1:4])
    means = [1 - brier[3, :, 0].mean() / 2, rows["acc"][3, :, 0].mean(), matthews[3]]
    assert measure(stages, "general", "accuracy") == pytest.approx(sum(means) / 3)
    change = [
        (brier[0] - brier[3])[:, 0].mean() / 2,
        (rows["acc"][3] - rows["acc"][0])[:, 0].mean(),
        matthews[3] - matthews[0],
    ]
    assert measure(stages, "general", "backward_transfer") == pytest.approx(sum(change) / 3)


def test_what_the_base_knew_may_be_forgotten_before_it_is_taught(tmp_path: Path) -> None:
    rows = {
        "two": binary(np.random.default_rng(9), (0.9, 0.4, 0.95, 0.5, 0.9)),
        "old": binary(np.random.default_rng(8), (0.8,) * 5),
    }
    stages = stages_of(folder(tmp_path / "run", [task(name, ACC) for name in rows], rows), TRACK)
    two = column(stages, "two")
    assert (two.untaught, two.first, two.after) == ("s1", "s3", "last") and stages.tests == 5
    assert [cell.state for cell in two.cells] == ["forgotten", None, "forgotten"] and two.cells[0].since == two.cells[
        0
    ].difference
    assert two.cells[0].retained.value == pytest.approx(two.cells[0].score.value / two.base.value)  # type: ignore[union-attr]


def test_a_group_is_one_column_and_its_stage_is_that_of_its_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = {"one": binary(rng, (0.3, 0.9, 0.8, 0.3, 0.9), 100), "rest": binary(rng, (0.5, 0.7, 0.6, 0.4, 0.7), 300)}
    group = Group(name="pool", tasks=("one", "rest"), metric="acc", unit=True, margin=0.02, family="f")
    stages = stages_of(folder(tmp_path / "run", [task(name, ACC) for name in rows], rows, (group,)), TRACK)
    assert [(each.name, each.level, each.learned) for each in stages.columns] == [("pool", "group", 1)]
    whole = np.concatenate([rows["one"], rows["rest"]], axis=1)[:, :, 0].mean(axis=1)
    pool = column(stages, "pool")
    assert [cell.score.value for cell in pool.cells] == pytest.approx(whole[1:4]) and pool.cells[
        2
    ].since.value == pytest.approx(whole[3] - whole[1])  # type: ignore[union-attr]
    assert (
        measure(stages, "learned", "backward_transfer") == pytest.approx(whole[3] - whole[1]) and pool.first is not None
    )
    macro = stages_of(
        folder(tmp_path / "macro", [task(name, ACC) for name in rows], rows, (replace(group, macro=True),)), TRACK
    )
    equal = (rows["one"][:, :, 0].mean(axis=1) + rows["rest"][:, :, 0].mean(axis=1)) / 2
    assert measure(macro, "learned", "backward_transfer") == pytest.approx(equal[3] - equal[1])


def test_no_more_is_named_than_the_correction_allows(tmp_path: Path) -> None:
    """Every task at every stage has lost exactly its margin: of 25 runs of 3 stages × 4 tasks 5 % may name something,
    and 12 looks at 5 % would.
    """
    wrong, n = 0, 150
    for seed in range(25):
        rng = np.random.default_rng(seed)
        rows = {}
        for name in "abcd":
            known = rng.random(n) < 0.9
            answers = [
                known,
                *(np.where(known, rng.random(n) < 1 - 0.05 / 0.9, rng.random(n) < 0.03 / 0.1) for _ in MODELS[1:]),
            ]
            rows[name] = np.stack([np.stack([of.astype(float), np.ones(n)], axis=1) for of in answers])
        stages = stages_of(
            folder(tmp_path / str(seed), [task(name, ACC) for name in rows], rows),
            Track(base="base", stages=("s1", "s2", "s3"), learned={}),
        )
        assert stages.tests == 12
        wrong += any(each.first for each in stages.columns)
    assert wrong <= 4
