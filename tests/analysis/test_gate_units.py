"""Tasks and groups that are judged: what a group pools, replaces and describes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured_runs import MCC, MMLU, ROUGE, both, by_task, grouped, plan, task

from evalharness.analysis.comparison import compare
from evalharness.analysis.gate_units import subjects
from evalharness.errors import TaskError
from evalharness.records.tasks import HumanLevel


def test_a_group_pools_its_members_and_takes_their_place():
    rows = by_task(grouped(groups=(MMLU,)))
    group = rows["mmlu"]
    assert (group.level, group.unit, group.n, group.lost, group.margin, group.family) == (
        "group",
        True,
        400,
        80,
        0.03,
        "mmlu",
    )
    assert group.base.value == pytest.approx(280 / 400) and group.verdict == "forgotten" and group.available == 2 * 9999
    assert not rows["m1"].unit and rows["m1"].verdict == "forgotten" and rows["m1"].p_forgotten_adjusted is None
    assert rows["sst2"].unit


def test_a_group_that_only_describes_leaves_its_members_their_place():
    rows = by_task(grouped(groups=(replace(MMLU, unit=False),)))
    assert not rows["mmlu"].unit and rows["mmlu"].verdict == "forgotten" and rows["m1"].unit and rows["m2"].unit


def test_a_group_may_weigh_every_task_the_same():
    rows = by_task(grouped(groups=(replace(MMLU, macro=True),)))
    group = rows["mmlu"]
    assert group.base.value == pytest.approx((80 / 100 + 200 / 300) / 2)
    assert group.candidate_score.value == pytest.approx((60 / 100 + 140 / 300) / 2)
    assert (group.unit, group.n, group.lost, group.verdict) == (True, 400, 80, "forgotten")


def test_more_metrics_of_a_group_describe_it():
    both_metrics = [replace(task(name), metrics=(*task(name).metrics, ROUGE)) for name in ("m1", "m2")]
    measurements = [m for name in ("m1", "m2") for m in both(name, 100, 80, 20)]
    measurements += [replace(m, metric=ROUGE.id) for m in measurements]
    found = [
        row
        for row in compare(both_metrics, measurements, plan(groups=(replace(MMLU, also=(ROUGE.id,)),)))
        if row.task == "mmlu"
    ]
    assert [(row.metric, row.primary, row.unit, row.verdict is None) for row in found] == [
        ("acc", True, True, False),
        (ROUGE.id, False, False, True),
    ]


def test_means_on_one_scale_are_pooled_and_others_are_refused():
    scales = {"graded": ROUGE, "other scale": replace(ROUGE, high=100.0), "corpus": MCC}
    for name, metric in scales.items():
        facts = [task("m1"), task("m2", metric, chance=0.0)]
        width = 4 if metric.kind == "corpus" else 2
        second = [replace(m, metric=metric.id, rows=np.tile(m.rows, width // 2)) for m in both("m2", 50, 40, 5)]
        measurements = [*both("m1", 50, 40, 10), *second]
        if name == "graded":
            assert by_task(compare(facts, measurements, plan(groups=(MMLU,))))["mmlu"].lost == 15
            continue
        with pytest.raises(TaskError, match=r"group mmlu: its tasks cannot be pooled"):
            subjects(facts, plan(groups=(MMLU,)))
        with pytest.raises(TaskError, match=r"group mmlu: its tasks cannot be pooled"):
            compare(facts, measurements, plan(groups=(MMLU,)))
        assert "mmlu" not in by_task(compare(facts, measurements, plan(groups=(replace(MMLU, unit=False),))))


def test_what_people_score_stands_beside_the_metric_that_it_is_of_and_moves_nothing():
    level = HumanLevel(metric="acc", value=0.9, source="us")
    facts = [replace(task("m1"), metrics=(*task("m1").metrics, ROUGE)), task("m2")]
    rows = [*both("m1", 100, 80, 20), *both("m2", 100, 80, 20)]
    rows += [replace(m, metric=ROUGE.id) for m in rows if m.task == "m1"]
    people = [replace(fact, human=level) for fact in facts]
    results = compare(people, rows, plan(groups=(replace(MMLU, human=level),)))
    assert {(row.task, row.metric): row.human for row in results if row.human} == {
        ("m1", "acc"): level,
        ("m2", "acc"): level,
        ("mmlu", "acc"): level,
    }
    assert [replace(row, human=None) for row in results] == list(compare(facts, rows, plan(groups=(MMLU,))))
