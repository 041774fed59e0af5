"""Measurements to comparisons: pairing, verdicts, flags, Holm, groups, the suite, determinism."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.gate import Policy, judge
from evalharness.analysis.gate_units import subjects
from evalharness.analysis.margins import asked_margins
from evalharness.errors import NotComparableError, TaskError, UsageError
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate, FlipShares
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.results import ModelRow, Results
from evalharness.records.tasks import Group
from evalharness.stats.pairs import Pairs
from evalharness.stats.retention import chance_adjusted_flips, retention

ACC = MetricFacts("acc", "acc", {}, "binary", 0.0, 1.0, True, "acc")
ROUGE = MetricFacts("rougeL", "rougeL", {}, "graded", 0.0, 1.0, True, "rougeL")
MCC = MetricFacts("mcc", "mcc", {}, "corpus", -1.0, 1.0, True, "mcc")
OPAQUE = MetricFacts("meteor", "evaluate", {}, "opaque", 0.0, 1.0, True, "meteor")


def task(name: str, *metrics: MetricFacts, chance: float = 0.25, margin: float = 0.02, **other: Any) -> TaskFacts:
    metrics = metrics or (ACC,)
    settled = {"available": 9999, "truncated": 0, "failed": {}, "unparsed": {}, **other}
    return TaskFacts(
        name,
        "glue",
        "1",
        metrics[0].id,
        margin,
        chance,
        data_digest="d",
        prompts_digest="p",
        metrics=metrics,
        **settled,
    )


def measured(
    name: str, model: str, values: Sequence[float] | np.ndarray, metric: str = "acc", sizes: Sequence[int] | None = None
) -> Measurement:
    sizes = sizes or [1] * len(values)
    rows = np.column_stack([np.asarray(values, dtype=float), np.asarray(sizes, dtype=float)]).reshape(len(values), 2)
    return Measurement(name, metric, model, tuple(f"{i}-x" for i in range(len(values))), tuple(sizes), rows)


def answers(n: int, right: int, lost: int = 0, gained: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """0/1 scores of base and candidate with exactly these counts."""
    base = (np.arange(n) < right).astype(float)
    other = base.copy()
    other[:lost], other[n - gained :] = 0, 1
    return base, other


def both(name: str, n: int, right: int, lost: int = 0, gained: int = 0, candidate: str = "lora") -> list[Measurement]:
    base, other = answers(n, right, lost, gained)
    return [measured(name, "base", base), measured(name, candidate, other)]


def plan(**options: Any) -> ComparePlan:
    return ComparePlan("base", ("lora",), **options)


def by_task(comparisons: Sequence[Comparison]) -> Mapping[str, Comparison]:
    return {row.task: row for row in comparisons if row.primary}


def one(n: int, right: int, lost: int = 0, gained: int = 0, **about: Any) -> Comparison:
    return by_task(compare([task("t", **about)], both("t", n, right, lost, gained), plan()))["t"]


# ---- verdicts and flags


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
        Measurement("t", "meteor", model, ("a", "b"), (1, 1), np.zeros((2, 0)), point)
        for model, point in (("base", 0.5), ("lora", 0.25))
    ]
    row = by_task(compare([task("t", OPAQUE)], points, plan()))["t"]
    assert (row.base, row.candidate_score, row.difference) == (Estimate(0.5), Estimate(0.25), Estimate(-0.25))
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
        Measurement("cola", "mcc", model, units, (1,) * 400, table)
        for model, table in zip(("base", "lora"), rows, strict=True)
    ]
    row = by_task(compare([task("cola", MCC, chance=0.0)], pair, plan()))["cola"]
    assert row.verdict == "forgotten" and (row.lost, row.gained) == (None, None)


def test_no_number_is_missing_or_not_a_number():
    facts = [task("a"), task("b", ROUGE, chance=0.0), task("c")]
    measurements = [
        *both("a", 12, 12, 12),
        measured("b", "base", [0.5], "rougeL"),
        measured("b", "lora", [0.5], "rougeL"),
        *both("c", 0, 0),
    ]
    assert_numbers(compare(facts, measurements, plan()))


def scored(metric: MetricFacts, model: str, right: np.ndarray, sizes: int = 1) -> Measurement:
    """Rows of a metric for which `right` (units,) says how good each answer is, 0-1; MCC's answers are of two classes
    in turn.
    """
    rows = np.column_stack([sizes * right, np.full(len(right), float(sizes))])
    if metric is MCC:
        gold = np.arange(len(right)) % 2
        rows = np.zeros((len(right), 4))
        rows[np.arange(len(right)), 2 * gold + np.where(right > 0.5, gold, 1 - gold)] = sizes
    return Measurement("t", metric.id, model, tuple(map(str, range(len(right)))), (sizes,) * len(right), rows)


NONE, HALF = np.zeros(400), np.arange(400) // 2 % 2.0
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


@pytest.mark.parametrize("metric", [ACC, ROUGE, MCC], ids=lambda metric: metric.kind)
@pytest.mark.parametrize("lacking", ["base", "lora", "both"])
def test_what_one_side_lacks_is_left_out_of_both(lacking: str, metric: MetricFacts):
    """Each lacks other units where both do."""
    base, other = (
        scored(metric, model, right) for model, right in (("base", NONE + 1), ("lora", (np.arange(400) >= 30) * 1.0))
    )
    kept = {
        "base": slice(5, None) if lacking != "lora" else slice(None),
        "lora": slice(None, 390) if lacking != "base" else slice(None),
    }
    short = [
        replace(m, units=m.units[kept[m.model]], sizes=m.sizes[kept[m.model]], rows=m.rows[kept[m.model]])
        for m in (base, other)
    ]
    failed = {"base": {"base": 5}, "lora": {"lora": 10}, "both": {"base": 5, "lora": 10}}[lacking]
    rows = compare([task("t", metric, chance=0.0, failed=failed)], short, plan())
    row = by_task(rows)["t"]
    assert row.n == 400 - sum(failed.values()) and row.verdict == "forgotten" and "incomplete" in row.flags
    assert row.lost == (None if metric is MCC else 30 - failed.get("base", 0))
    assert_numbers(rows)


def assert_numbers(rows: Sequence[Comparison]) -> None:
    for row in rows:
        values = [getattr(row, each.name) for each in fields(row)]
        values += [
            number for value in values if isinstance(value, Estimate) for number in (value.value, value.low, value.high)
        ]
        assert all(np.isfinite(value) for value in values if isinstance(value, float))
        assert row.verdict in ("forgotten", "retained", "inconclusive")


# ---- pairing


def test_units_are_paired_by_id():
    base, other = both("t", 40, 30, 10)
    shuffled = replace(other, units=other.units[::-1], rows=other.rows[::-1])
    assert compare([task("t")], [shuffled, base], plan()) == compare([task("t")], [base, other], plan())


def test_failed_units_are_left_out_of_both_sides():
    base, other = both("t", 40, 30, 10)
    other = replace(other, units=other.units[2:], sizes=other.sizes[2:], rows=other.rows[2:])
    row = by_task(compare([task("t", failed={"lora": 2})], [base, other], plan()))["t"]
    assert row.n == 38 and row.lost == 8 and "incomplete" in row.flags and row.base.value == pytest.approx(28 / 38)


def test_a_model_that_failed_everywhere_is_shown_without_scores():
    row = by_task(compare([task("t", failed={"lora": 40})], both("t", 40, 30)[:1], plan()))["t"]
    assert (
        row.n == 0 and row.verdict == "inconclusive" and "incomplete" in row.flags and row.difference == Estimate(0.0)
    )


@pytest.mark.parametrize("spoil", ["fewer", "other", "uneven", "doubled", "missing", "infinite"])
def test_scores_that_cannot_be_paired_are_refused(spoil: str):
    base, other = both("t", 40, 30)
    spoilt = {
        "fewer": replace(other, units=other.units[2:], sizes=other.sizes[2:], rows=other.rows[2:]),
        "other": replace(other, units=tuple(f"{unit}'" for unit in other.units)),
        "uneven": replace(other, sizes=(2, *other.sizes[1:])),
        "doubled": replace(other, units=(other.units[1], *other.units[1:])),
        "missing": replace(other, model="another"),
        "infinite": replace(other, rows=np.full((40, 2), np.inf)),
    }
    with pytest.raises(NotComparableError, match=r"^t: ") as raised:
        compare([task("t")], [base, spoilt[spoil]], plan())
    assert raised.value.exit_code == 5
    if spoil in ("fewer", "other", "uneven"):
        assert "not asked the same prompts/examples" in str(raised.value)


def test_units_of_several_examples_are_counted_as_units():
    base, other = answers(80, 60, 20)
    pair = [
        measured("multirc", model, 4 * values, sizes=[4] * 80) for model, values in (("base", base), ("lora", other))
    ]
    row = by_task(compare([task("multirc")], pair, plan()))["multirc"]
    single = one(80, 60, 20)
    assert (row.n, row.lost) == (80, 20)
    assert row.difference.low == pytest.approx(
        single.difference.low, abs=0.005
    )  # four copies of an answer are worth one


# ---- families of tests


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


MMLU = Group("mmlu", ("m1", "m2"), "acc", True, 0.03, "mmlu")


def grouped(**options: Any) -> tuple[Comparison, ...]:
    facts = [task("m1"), task("m2", chance=0.5), task("sst2", chance=0.5)]
    return compare(
        facts, [*both("m1", 100, 80, 20), *both("m2", 300, 200, 60), *both("sst2", 500, 450, 3, 3)], plan(**options)
    )


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


# ---- the suite


def test_the_suite_is_the_mean_skill_lost():
    rows = by_task(grouped(groups=(MMLU,), suite_name="demo", suite_margin=0.05))
    suite = rows["demo"]
    chance = (100 * 0.25 + 300 * 0.5) / 400
    expected = (-80 / 400 / (0.7 - chance) + 0.0) / 2
    assert suite.difference.value == pytest.approx(expected) and suite.candidate_score.value == pytest.approx(
        1 + expected
    )
    assert (suite.level, suite.unit, suite.metric, suite.margin, suite.verdict, suite.n) == (
        "suite",
        True,
        "skill",
        0.05,
        "forgotten",
        900,
    )


def test_the_suite_leaves_out_the_target_and_what_is_at_chance():
    facts = [task("a"), task("guess"), task("target")]
    measurements = [*both("a", 400, 320, 4, 4), *both("guess", 400, 100, 50), *both("target", 400, 200, 0, 150)]
    rows = by_task(compare(facts, measurements, plan(targets={"lora": "target"})))
    assert rows["suite"].n == 400 and rows["suite"].difference.value == pytest.approx(0) and rows["target"].unit


def test_a_group_with_the_target_in_it_counts_without_the_target():
    rows = by_task(grouped(groups=(MMLU,), targets={"lora": "m2"}))
    assert rows["mmlu"].n == 400 and rows["suite"].n == 600
    assert rows["suite"].difference.value == pytest.approx((-20 / 100 / 0.55) / 2)


def test_a_suite_with_nothing_to_judge_is_inconclusive():
    rows = by_task(compare([task("guess")], both("guess", 400, 100), plan()))
    assert rows["suite"].verdict == "inconclusive" and rows["suite"].n == 0 and "base_at_chance" in rows["suite"].flags


# ---- the rest


def test_neither_order_nor_company_moves_a_number():
    rng = np.random.default_rng(5)
    facts = [task("a", ROUGE, chance=0.0), task("b", ROUGE, chance=0.0)]
    measurements = [
        measured(name, model, rng.random(60), "rougeL") for name in "ab" for model in ("base", "lora", "full")
    ]
    two = ComparePlan("base", ("lora", "full"))
    alone = {(row.task, row.candidate): row for row in compare(facts[:1], measurements, plan())}
    first, again = (
        compare(facts, measurements, two),
        compare(facts[::-1], measurements[::-1], replace(two, candidates=("full", "lora"))),
    )
    keyed = {(row.task, row.candidate): row for row in first}
    assert all(keyed[row.task, row.candidate] == row for row in again if row.level != "suite")
    assert keyed["a", "lora"].difference == alone["a", "lora"].difference
    assert keyed["a", "lora"].base == keyed["a", "full"].base  # one base, one interval
    assert compare(facts, measurements, replace(two, seed=1)) != first


def test_what_was_learned_is_the_gain_beyond_doubt():
    facts = [task("a"), task("target")]
    rows = compare(facts, [*both("a", 100, 80), *both("target", 400, 200, 5, 100)], plan(targets={"lora": "target"}))
    gain, learned = target_gain(rows, "lora", "target")
    assert gain is not None and gain.value == pytest.approx(95 / 400) and learned is True
    assert target_gain(rows, "lora", "a")[1] is False
    assert target_gain(rows, "lora", "elsewhere") == (None, None) == target_gain(rows, "another", "target")
    guessing = [replace(each, chance=0.75) for each in facts]  # up to guessing from below it
    assert [target_gain(rows, "lora", "target", known)[1] for known in (facts, guessing)] == [True, False]


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 0.5}, {"suite_margin": -0.1}, {"margins": {"t": float("nan")}}]
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, Any]):
    with pytest.raises(UsageError):
        plan(**wrong)


def test_comparing_needs_no_model_library():
    heavy = {"torch", "transformers", "datasets", "evaluate", "pandas", "matplotlib"}
    code = f"import sys, evalharness.analysis, evalharness.analysis.gate; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_margin_for_all_is_for_scores_between_0_and_1() -> None:
    bleu = replace(ROUGE, id="bleu", high=100.0)
    facts = [task("t"), task("translate", bleu), task("u")]
    groups = [
        Group("pooled", ("t", "u"), "acc", True, 0.02, "glue"),
        Group("translations", ("translate",), "bleu", True, 1.0, "glue"),
    ]
    assert asked_margins(facts, groups, 0.05, {"translate": 2.0}) == {
        "t": 0.05,
        "u": 0.05,
        "pooled": 0.05,
        "translate": 2.0,
    }
    assert asked_margins(facts, groups, None, {"t": 0.1}) == {"t": 0.1}


# ---- references


LEVELS = (("t", "task"), ("u", "task"), ("suite", "suite"))


def test_references_are_compared_and_never_judged():
    """Their rows have no unit, no verdict and no share in Holm's correction; the candidates' rows are what they are
    without them.
    """
    facts, measurements = [task("t"), task("u")], [*both("t", 400, 320, 80, 5), *both("u", 400, 320)]
    alone = compare(facts, measurements, plan())
    beside = [measured(name, "placebo", answers(400, 320, lost=60)[1]) for name in ("t", "u")]
    rows = compare(facts, [*measurements, *beside], plan(references=("placebo",)))
    assert rows[: len(alone)] == alone
    others = rows[len(alone) :]
    assert [(row.candidate, row.task, row.level) for row in others] == [
        ("placebo", name, level) for name, level in LEVELS
    ]
    deciding = {(row.verdict, row.margin, row.p_forgotten, row.p_forgotten_adjusted, row.p_retained) for row in others}
    assert deciding == {(None,) * 5} and not any(row.unit for row in others)
    assert [(row.lost, row.gained, row.difference.value) for row in others[:2]] == [(60, 0, pytest.approx(-0.15))] * 2
    assert all(row.flags == ("drop_detected",) and row.p_difference is not None and row.primary for row in others[:2])


# ---- beside the verdict


def test_where_nothing_changed_all_of_the_skill_is_retained():
    """Whatever is compared: retention is 1 within its interval, nothing flipped, and every mean is 0."""
    rng = np.random.default_rng(3)
    facts = [task("a"), task("b", ROUGE, chance=0.0), replace(task("c"), family="mmlu"), task("p"), task("q")]
    scores = {"b": rng.random(200)} | {name: (rng.random(200) < 0.7).astype(float) for name in "acpq"}
    measurements = [
        measured(name, model, of, "rougeL" if name == "b" else "acc")
        for name, of in scores.items()
        for model in ("base", "lora")
    ]
    rows = compare(facts, measurements, plan(groups=(replace(MMLU, tasks=("p", "q")),)))
    kept = [row.retention for row in rows if row.level in ("task", "group")]
    assert len(kept) == 6 and all(each is not None and each.value == 1 and each.low < 1 < each.high for each in kept)
    for row in rows:
        assert row.difference.value == 0 and row.flips in (None, FlipShares(0.0, 0.0, 0.0))
        assert row.general is None or (row.general.value == 0 and row.general.low < 0 < row.general.high)
    assert {row.level for row in rows} == {"task", "group", "family", "suite"}


def test_retention_is_the_share_of_the_skill_that_is_left():
    row, kept = one(400, 320, lost=80, gained=5), retention(pairs_of(400, 320, 80, 5), 0.9)
    assert row.retention is not None and kept is not None and row.retention == Estimate(*kept)
    assert row.retention.value == pytest.approx((245 / 400 - 0.25) / (320 / 400 - 0.25))
    assert one(400, 104, lost=50).retention is None  # the base's skill is not significant
    assert one(400, 320, chance=0.9).retention is None


def pairs_of(n: int, right: int, lost: int, gained: int) -> Pairs:
    rows = [np.column_stack([values, np.ones(n)]) for values in answers(n, right, lost, gained)]
    return Pairs(
        rows[0], rows[1], np.ones(n), lambda sums: sums[..., 0] / sums[..., 1], "binary", 0.0, 1.0, 1.0, 0.25, None
    )


def test_retention_is_of_metrics_whose_chance_is_known():
    norm = replace(ACC, id="acc_norm", name="acc_norm")
    measurements = [
        replace(m, metric=metric) for m in both("t", 400, 320, 40) for metric in ("acc", "acc_norm", "rougeL")
    ]
    rows = {row.metric: row for row in compare([task("t", ACC, norm, ROUGE)], measurements, plan())}
    assert rows["acc"].retention == rows["acc_norm"].retention is not None and rows["rougeL"].retention is None
    assert rows["rougeL"].flips is not None and rows["rougeL"].flips.forgotten is None
    assert rows["skill"].retention is rows["skill"].flips is None


def test_flips_as_counted_and_without_lucky_guesses():
    """Of four choices, by hand: 80 of 400 lost and 75 wrong twice, so F = (80/400) / .75 − .25 (75/400) / .75²."""
    row = one(400, 320, lost=80, gained=5)
    assert row.flips is not None and (row.flips.share, row.flips.lost, row.flips.gained) == (
        85 / 400,
        80 / 400,
        5 / 400,
    )
    assert row.flips.forgotten is not None and row.flips.forgotten.value == pytest.approx(
        80 / 400 / 0.75 - 0.25 * 75 / 400 / 0.75**2
    )
    assert row.flips.learned is None  # 5 of 400 are fewer than guesses of 75 would make, were they independent
    oracle = chance_adjusted_flips(*answers(400, 320, 80, 5), np.full(400, 4.0), 0.9)
    assert oracle is not None and row.flips.forgotten == Estimate(*oracle.forgotten)


@pytest.mark.parametrize(
    ("chance", "known"),
    [(0.25, True), (1 / 3, True), (0.5, True), (1 / 7, True), (0.3, False), (0.0, False), (0.6, False)],
)
def test_guesses_are_taken_out_where_all_questions_have_as_many_choices(chance: float, known: bool):
    flips = one(400, 390, lost=80, chance=chance).flips
    assert flips is not None and flips.lost == 0.2 and (flips.forgotten is not None) == known


def test_flips_of_a_group_know_each_tasks_number_of_choices():
    facts, counts = [task("m1"), task("m2", chance=0.5)], [(100, 95, 30), (300, 290, 90)]
    measurements = [m for fact, each in zip(facts, counts, strict=True) for m in both(fact.name, *each)]
    rows, answered = by_task(compare(facts, measurements, plan(groups=(MMLU,)))), [answers(*each) for each in counts]
    base, other = (np.concatenate([side[i] for side in answered]) for i in (0, 1))
    oracle = chance_adjusted_flips(base, other, np.repeat([4.0, 2.0], [100, 300]), 0.9)
    flips = rows["mmlu"].flips
    assert (
        oracle is not None
        and flips is not None
        and flips.forgotten == Estimate(*oracle.forgotten)
        and flips.share == 120 / 400
    )
    even = by_task(compare(facts, measurements, plan(groups=(replace(MMLU, macro=True),))))["mmlu"].flips
    assert even is not None and even.share == 120 / 400 and even.forgotten is None


def test_answers_of_one_unit_do_not_tell_their_flips_apart():
    base, other = answers(80, 60, 20)
    pair = [
        measured("multirc", model, 4 * values, sizes=[4] * 80) for model, values in (("base", base), ("lora", other))
    ]
    flips = by_task(compare([task("multirc")], pair, plan()))["multirc"].flips
    assert flips is not None and flips.lost == 20 / 80 and flips.forgotten is None


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


def test_general_ability_is_the_plain_mean_in_points():
    """Over what was not trained on and is scored from 0 to 1, what the base cannot do included; its interval is
    Student's t over strata.
    """
    bleu = replace(ROUGE, id="bleu", high=100.0)
    facts = [
        task("a"),
        task("guess"),
        task("target"),
        task("b", ROUGE, chance=0.0),
        task("wmt", bleu, chance=0.0, margin=2.0),
    ]
    rng = np.random.default_rng(2)
    before = rng.random(300)
    after = np.clip(before + rng.normal(-0.05, 0.1, 300), 0, 1)
    measurements = [*both("a", 400, 320, 40, 4), *both("guess", 400, 100, 20, 30), *both("target", 400, 200, 0, 150)]
    for name, metric, scale in (("b", "rougeL", 1), ("wmt", "bleu", 100)):
        measurements += [measured(name, model, scale * of, metric) for model, of in (("base", before), ("lora", after))]
    suite = by_task(compare(facts, measurements, plan(targets={"lora": "target"})))["suite"]
    differences = [answers(400, 320, 40, 4), answers(400, 100, 20, 30), (before, after)]
    parts = [other - base for base, other in differences]
    assert suite.general is not None and suite.general.units == 3
    assert suite.general.value == pytest.approx(np.mean([part.mean() for part in parts]))
    spread = np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / 3
    assert suite.general.high - suite.general.low == pytest.approx(2 * 1.645 * spread, rel=0.03)
    other = by_task(compare(facts[-1:], measurements, plan()))["suite"]
    assert other.general is None and other.n == 300


def families(**options: Any) -> tuple[Comparison, ...]:
    facts = [
        task("a"),
        task("b"),
        replace(task("c"), family="superglue"),
        replace(task("guess"), family="other"),
        replace(task("d"), family="demo"),
    ]
    measurements = [
        *both("a", 400, 320, 40),
        *both("b", 300, 240, 3),
        *both("c", 200, 150, 10),
        *both("guess", 300, 75),
        *both("d", 100, 80),
    ]
    return compare(facts, measurements, plan(**options))


def test_families_are_means_in_units_of_skill_and_only_describe():
    rows = families(targets={"lora": "d"})
    found = {row.task: row for row in rows if row.level == "family"}
    assert list(found) == ["glue", "superglue", "other"]  # nothing of "demo" but the target
    assert found["glue"].difference.value == pytest.approx((-40 / 400 / 0.55 - 3 / 300 / 0.55) / 2)
    assert found["glue"].difference.low < found["glue"].difference.value < found["glue"].difference.high < 0
    assert found["superglue"].candidate_score.value == pytest.approx(1 - 10 / 200 / 0.5) and found["superglue"].n == 200
    assert found["other"].n == 0 and found["other"].flags == ("base_at_chance",)
    for row in found.values():
        deciding = (row.verdict, row.margin, row.p_forgotten, row.p_forgotten_adjusted, row.p_retained)
        assert not row.unit and not row.primary and deciding == (None,) * 5
        assert (row.metric, row.family, row.adjustment, row.general) == ("skill", row.task, None, None)
    suite = next(row for row in rows if row.level == "suite")
    skilled = [found["glue"].difference.value * 2, found["superglue"].difference.value]
    assert suite.difference.value == pytest.approx(sum(skilled) / 3)


def test_families_never_gate_and_one_family_is_the_suite():
    rows = families()
    alone = [row for row in rows if row.level != "family"]
    models = (ModelRow("base", "base", "b", None, 1, 0, 0.0, 1), ModelRow("lora", "lora", "l", "base", 1, 1, 1.0, 1))
    assert judge(Results({}, models, rows), Policy()) == judge(Results({}, models, tuple(alone)), Policy())
    assert not any(
        row.level == "family"
        for row in compare([task("a"), task("b")], [*both("a", 400, 320), *both("b", 300, 240)], plan())
    )
    assert target_gain(rows, "lora", "glue") == (None, None)


def test_what_describes_a_reference_decides_nothing():
    measurements = [*both("m1", 100, 80, 20), *both("m2", 100, 80), *both("sst2", 100, 80)]
    beside = [replace(m, model="placebo") for m in measurements if m.model == "lora"]
    facts = [task("m1"), task("m2"), task("sst2")]
    rows = compare(facts, [*measurements, *beside], plan(references=("placebo",), groups=(MMLU,)))
    ours, others = ([row for row in rows if row.candidate == name] for name in ("lora", "placebo"))
    assert [row.retention for row in ours] == [row.retention for row in others] and [row.flips for row in ours] == [
        row.flips for row in others
    ]
    assert all(row.q_forgotten is None and row.adjustment != "Holm" and not row.unit for row in others)
