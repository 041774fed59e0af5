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
from evalharness.records.comparison import Comparison, Estimate, WouldDecide
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
    assert row.would_decide is None and row.flags == ("suspect",) and row.margin == 0.02


def test_the_same_answers_are_retained_once_there_are_enough():
    """Exact at few changes: with none of 149 changed p = .98¹⁴⁹ = .0493."""
    enough, few = one(400, 320), one(100, 80)
    assert enough.verdict == "retained" and enough.would_decide is None
    assert few.verdict == "inconclusive" and few.flags == () and few.p_difference == 1.0
    assert few.would_decide == WouldDecide(
        verdict="retained", assumption="nothing_lost", examples=149, power=0.8, there=True
    )


@pytest.mark.parametrize(("available", "there"), [(148, False), (149, True)])
def test_whether_the_set_has_as_many_as_would_decide_is_said(available: int, there: bool):
    row = one(100, 80, available=available)
    assert row.would_decide is not None and row.would_decide.there == there and row.available == available


def test_more_than_can_be_named_are_not_there():
    row = one(1000, 800, 141, 120)  # .021 lost of a margin of .02
    assert row.would_decide == WouldDecide(
        verdict="forgotten", assumption="as_seen", examples=None, power=0.8, there=False
    )


def test_what_would_decide_is_at_the_units_own_error_rate():
    """One of 15 gate units must reach α / 15, whoever else is there; retained is not adjusted."""

    def beside(others: int, lost: int) -> Comparison:
        names = [f"t{i}" for i in range(others)]
        measurements = [m for name in names for m in both(name, 400, 320)]
        rows = compare([task(name) for name in ("t", *names)], [*both("t", 100, 80, lost, 2), *measurements], plan())
        return by_task(rows)["t"]

    losing, keeping = ([beside(others, lost).would_decide for others in (0, 14)] for lost in (8, 2))
    assert [each.verdict for each in losing] == ["forgotten"] * 2
    assert losing[1].examples > 1.5 * losing[0].examples and keeping[0] == keeping[1]


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


@pytest.mark.fault(36)
def test_fewer_than_ten_units_decide_nothing():
    row = one(9, 9, lost=9)
    assert row.verdict == "inconclusive" and row.would_decide is not None and row.would_decide.examples == 10


def test_a_base_at_chance_may_lose_its_guesses_and_keeps_nothing():
    """Audit: .248 → .000 on 1,000 rows of four choices was inconclusive."""
    lost, kept = one(1000, 248, lost=248), one(1000, 248)
    assert lost.verdict == "forgotten" and set(lost.flags) == {"base_at_chance", "suspect"}
    assert kept.verdict == "inconclusive" and kept.flags == ("base_at_chance",) and kept.would_decide is None


def test_chance_that_is_not_known_forbids_no_verdict():
    assert one(400, 104, chance=None).verdict == "retained" and one(400, 104, chance=None).flags == ()
    assert one(400, 104, lost=104, chance=None).verdict == "forgotten"


def test_without_a_range_a_loss_is_forgotten_and_nothing_is_retained():
    """Perplexities of 400 texts: less is better, there is no chance and no largest."""
    endless = replace(ROUGE, id="ppl", name="ppl", high=None, higher_is_better=False)
    base = np.random.default_rng(0).gamma(5, 1.5, 400)
    for other, verdict, flags in (
        (base * 7, "forgotten", {"suspect", "no_range"}),
        (base, "inconclusive", {"no_range"}),
    ):
        pair = [measured("t", "base", base, "ppl"), measured("t", "lora", other, "ppl")]
        row = by_task(compare([task("t", endless, chance=None, margin=0.5)], pair, plan()))["t"]
        assert row.verdict == verdict and set(row.flags) == flags and row.would_decide is None


def test_a_margin_above_a_fifth_of_the_skill_certifies_nothing():
    kept, lost = one(4000, 1300, chance=0.25, margin=0.02), one(4000, 1300, lost=600, margin=0.02)
    assert kept.verdict == "inconclusive" and "margin_exceeds_skill" in kept.flags and kept.would_decide is None
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


@pytest.mark.fault(36)
@pytest.mark.parametrize("metric", [ACC, ROUGE, MCC], ids=lambda metric: metric.kind)
@pytest.mark.parametrize("case", ENDS)
def test_the_ends_have_a_verdict_that_is_right_or_none(case: str, metric: MetricFacts):
    base, other, expected = ENDS[case]
    pair = [scored(metric, model, right) for model, right in (("base", base), ("lora", other))]
    rows = compare([task("t", metric, chance=0.0 if metric is MCC else 0.5)], pair, plan())
    assert by_task(rows)["t"].verdict == expected and by_task(rows)["t"].n == len(base)
    assert_numbers(rows)


@pytest.mark.fault(36)
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
    verdicts = {name: (rows[name].verdict, "suspect" in rows[name].flags) for name in "abcd"}
    assert verdicts["a"] == ("forgotten", True) and verdicts["d"] == ("retained", False)
    assert [verdicts[name] for name in "bc"] == [("inconclusive", rows[name].p_forgotten <= 0.05) for name in "bc"]
    assert rows["c"].p_forgotten <= 0.05 and rows["suite"].p_forgotten_adjusted == rows["suite"].p_forgotten


@pytest.mark.parametrize("others", [0, 14, 24])
def test_suspect_is_what_chance_makes_fewer_than_one_of(others: int):
    """p_forgotten ≤ min(α, .75 / m), unadjusted; the suite and parts of units never are."""
    names = [f"t{i}" for i in range(others)]
    limit = min(0.05, 0.75 / (1 + others))
    measurements = [m for name in names for m in both(name, 400, 320)]
    seen = set()
    for lost in range(14, 20):
        rows = compare([task(name) for name in ("t", *names)], [*both("t", 300, 240, lost, 2), *measurements], plan())
        row = by_task(rows)["t"]
        assert ("suspect" in row.flags) == (row.p_forgotten <= limit)
        assert [each.task for each in rows if "suspect" in each.flags] == (["t"] if "suspect" in row.flags else [])
        seen.add("suspect" in row.flags)
    assert seen == {True, False}


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
