"""Verdicts, flags and adjusted p-values of comparisons, by metric and at the ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from measured_runs import (
    ACC,
    HALF,
    MCC,
    MMLU,
    NONE,
    OPAQUE,
    ROUGE,
    answers,
    assert_numbers,
    both,
    by_task,
    measured,
    one,
    plan,
    scored,
    task,
)
from statsmodels.stats.multitest import multipletests

from evalharness.analysis.comparison import compare
from evalharness.records.comparison import Estimate
from evalharness.records.measurements import Measurement, MetricFacts


def test_a_large_loss_is_forgotten():
    row = one(400, 320, lost=80, gained=5)
    assert (row.verdict, row.n, row.lost, row.gained, row.unit, row.primary, row.level) == (
        "forgotten",
        400,
        80,
        5,
        True,
        True,
        "task",
    )
    assert (
        row.difference.value == pytest.approx(-75 / 400)
        and row.base.value == 0.8
        and row.ci_level == pytest.approx(0.9)
    )
    assert row.examples_needed is None and "drop_detected" not in row.flags and row.margin == 0.02


def test_the_same_answers_are_retained_once_there_are_enough():
    enough, few = one(400, 320), one(100, 80)
    assert enough.verdict == "retained" and enough.examples_needed is None
    assert few.verdict == "inconclusive" and few.examples_needed is not None and 130 < few.examples_needed < 170
    assert "few_changes" in few.flags and few.p_difference == 1.0


def test_a_small_real_drop_within_the_margin_is_retained_and_flagged():
    row = one(3000, 2400, lost=30, gained=5)
    assert row.verdict == "retained" and "drop_detected" in row.flags


def test_a_gain_is_flagged():
    row = one(1000, 700, lost=5, gained=60)
    assert (
        row.verdict == "retained"
        and "improved" in row.flags
        and row.difference.low is not None
        and row.difference.low > 0
    )


def test_fewer_than_ten_units_decide_nothing():
    row = one(9, 9, lost=9)
    assert row.verdict == "inconclusive" and row.examples_needed is not None and row.examples_needed >= 10


def test_a_base_at_chance_has_nothing_to_forget():
    row = one(400, 104, lost=104, gained=0)
    assert (
        row.verdict == "inconclusive"
        and "base_at_chance" in row.flags
        and "margin_exceeds_skill" not in row.flags
        and row.examples_needed is None
    )


def test_a_margin_above_a_fifth_of_the_skill_certifies_nothing():
    kept, lost = one(4000, 1300, chance=0.25, margin=0.02), one(4000, 1300, lost=600, margin=0.02)
    assert kept.verdict == "inconclusive" and "margin_exceeds_skill" in kept.flags and kept.examples_needed is None
    assert lost.verdict == "forgotten"


def test_what_befell_the_data_is_flagged():
    row = one(50, 40, truncated=3, unparsed={"lora": 2}, failed={"base": 1})
    assert set(row.flags) >= {"truncated", "unparsed", "incomplete"}
    assert not {"truncated", "unparsed", "incomplete"} & set(
        one(50, 40, unparsed={"other": 2}, failed={"other": 1}).flags
    )


def test_prompts_that_differ_are_flagged_up_to_the_suite():
    """Digests by model, where they are not the task's; a third model's do not matter."""
    asked = [
        ("p", {"lora": "q"}, True),
        ("p", {"base": "q"}, True),
        ("p", {"base": "q", "lora": "q"}, False),
        ("p", {"other": "q"}, False),
    ]
    for digest, prompts, differ in asked:
        rows = by_task(
            compare([task("t", prompts=prompts), task("u")], [*both("t", 400, 320), *both("u", 400, 320)], plan())
        )
        assert digest == task("t").prompts_digest
        assert {name: "prompts_differ" in row.flags for name, row in rows.items()} == {
            "t": differ,
            "u": False,
            "suite": differ,
        }


def test_margins_of_the_plan_win():
    rows = by_task(compare([task("t")], both("t", 400, 320, 20, 2), plan(margins={"t": 0.2})))
    assert rows["t"].margin == 0.2 and rows["t"].verdict == "inconclusive" and "margin_exceeds_skill" in rows["t"].flags


def test_metrics_that_are_not_primary_only_describe():
    base, other = answers(200, 150, 60)
    measurements = [*both("t", 200, 150), measured("t", "base", base, "rougeL"), measured("t", "lora", other, "rougeL")]
    row = next(row for row in compare([task("t", ACC, ROUGE)], measurements, plan()) if row.metric == "rougeL")
    assert (row.primary, row.unit, row.verdict, row.margin, row.p_forgotten, row.p_retained) == (
        False,
        False,
        None,
        None,
        None,
        None,
    )
    assert (
        row.difference.high is not None and row.difference.high < 0 and "drop_detected" in row.flags and row.lost == 60
    )


def test_opaque_metrics_are_points_and_never_gate():
    points = [
        Measurement(
            task="t", metric="meteor", model=model, units=("a", "b"), sizes=(1, 1), rows=np.zeros((2, 0)), point=point
        )
        for model, point in (("base", 0.5), ("lora", 0.25))
    ]
    row = by_task(compare([task("t", OPAQUE)], points, plan()))["t"]
    assert (row.base, row.candidate_score, row.difference) == (
        Estimate(value=0.5),
        Estimate(value=0.25),
        Estimate(value=-0.25),
    )
    assert (row.unit, row.primary, row.verdict, row.lost, row.p_difference) == (False, True, None, None, None)


def test_corpus_metrics_gate_without_counts():
    rng = np.random.default_rng(0)
    gold, ok = rng.integers(0, 2, 400), rng.random(400) < 0.9
    rows = []
    for right in (ok, ok & (rng.random(400) < 0.7)):
        table = np.zeros((400, 4))
        table[np.arange(400), 2 * gold + np.where(right, gold, 1 - gold)] = 1
        rows.append(table)
    units = tuple(map(str, range(400)))
    pair = [
        Measurement(task="cola", metric="mcc", model=model, units=units, sizes=(1,) * 400, rows=table)
        for model, table in zip(("base", "lora"), rows, strict=True)
    ]
    row = by_task(compare([task("cola", MCC, chance=0.0)], pair, plan()))["cola"]
    assert row.verdict == "forgotten" and (row.lost, row.gained) == (None, None)


ENDS: Mapping[str, tuple[np.ndarray, np.ndarray, str]] = {
    "nothing": (NONE[:0], NONE[:0], "inconclusive"),
    "one": (NONE[:1] + 1, NONE[:1], "inconclusive"),
    "nine, all lost": (NONE[:9] + 1, NONE[:9], "inconclusive"),
    "all equal and right": (NONE + 1, NONE + 1, "retained"),
    "all equal and wrong": (NONE, NONE, "inconclusive"),
    "a perfect base, all flipped": (NONE + 1, NONE, "forgotten"),
    "a perfect base, a tenth lost": (NONE + 1, (np.arange(400) >= 40) * 1.0, "forgotten"),
    "all wrong answers mended": (NONE, NONE + 1, "inconclusive"),
    "a base at chance, all flipped": (HALF, 1 - HALF, "inconclusive"),
}


@pytest.mark.parametrize("metric", [ACC, ROUGE, MCC], ids=lambda metric: metric.kind)
@pytest.mark.parametrize("case", ENDS)
def test_the_ends_have_a_verdict_that_is_right_or_none(case: str, metric: MetricFacts):
    base, other, expected = ENDS[case]
    pair = [scored(metric, model, right) for model, right in (("base", base), ("lora", other))]
    rows = compare([task("t", metric, chance=0.0 if metric is MCC else 0.5)], pair, plan())
    assert by_task(rows)["t"].verdict == expected and by_task(rows)["t"].n == len(base)
    assert_numbers(rows)


@pytest.mark.parametrize("metric", [ACC, ROUGE, MCC], ids=lambda metric: metric.kind)
@pytest.mark.parametrize("units", [1, 2])
def test_one_unit_of_many_rows_decides_nothing(units: int, metric: MetricFacts):
    pair = [scored(metric, model, np.full(units, right), 60) for model, right in (("base", 1.0), ("lora", 0.0))]
    rows = compare([task("t", metric, chance=0.0)], pair, plan())
    assert by_task(rows)["t"].verdict == "inconclusive"
    assert_numbers(rows)


def test_holm_over_the_gate_units_of_a_candidate():
    facts = [task(name) for name in "abcd"]
    measurements = [
        m for name, lost in zip("abcd", (34, 16, 17, 0), strict=True) for m in both(name, 300, 240, lost, 2)
    ]
    rows = by_task(compare(facts, measurements, plan()))
    raw = [rows[name].p_forgotten for name in "abcd"]
    assert [rows[name].p_forgotten_adjusted for name in "abcd"] == pytest.approx(
        multipletests(raw, method="holm")[1].tolist()
    )
    flagged = [name for name in "abcd" if "forgotten_unadjusted" in rows[name].flags]
    assert (
        flagged and all(rows[name].verdict == "inconclusive" for name in flagged) and rows["a"].verdict == "forgotten"
    )
    assert rows["suite"].p_forgotten_adjusted == rows["suite"].p_forgotten


def test_parts_of_gate_units_are_adjusted_by_benjamini_and_hochberg():
    names = [f"m{i}" for i in range(6)]
    facts = [*(task(name) for name in names), task("alone")]
    measurements = [
        m for name, lost in zip(names, (40, 15, 12, 9, 3, 0), strict=True) for m in both(name, 200, 160, lost, 2)
    ]
    group = replace(MMLU, tasks=tuple(names))
    rows = by_task(compare(facts, [*measurements, *both("alone", 200, 160, 30)], plan(groups=(group,))))
    for p, q in (("p_forgotten", "q_forgotten"), ("p_difference", "q_difference")):
        expected = multipletests([getattr(rows[name], p) for name in names], method="fdr_bh")[1]
        assert [getattr(rows[name], q) for name in names] == pytest.approx(expected.tolist())
    assert {rows[name].adjustment for name in names} == {"Benjamini-Hochberg"}
    assert {(rows[name].adjustment, rows[name].q_forgotten, rows[name].q_difference) for name in ("mmlu", "alone")} == {
        ("Holm", None, None)
    }
    assert rows["suite"].adjustment is None
    loose = by_task(
        compare(facts, [*measurements, *both("alone", 200, 160, 30)], plan(groups=(replace(group, unit=False),)))
    )
    assert (
        {loose[name].adjustment for name in names} == {"Holm"}
        and loose["mmlu"].adjustment is None
        and loose["m0"].q_forgotten is None
    )
