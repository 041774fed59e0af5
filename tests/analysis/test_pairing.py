"""Measurements of base and candidate to pairs by unit, and what is read off the pairs: retention and flips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured_runs import (
    ACC,
    MCC,
    MMLU,
    NONE,
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

from evalharness.analysis.comparison import compare
from evalharness.errors import NotComparableError
from evalharness.records.comparison import Estimate
from evalharness.records.measurements import Measurement, MetricFacts
from evalharness.stats.pairs import Pairs
from evalharness.stats.retention import chance_adjusted_flips, retention


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
        row.n == 0
        and row.verdict == "inconclusive"
        and "incomplete" in row.flags
        and (row.base, row.candidate_score, row.difference) == (None, None, None)
        and (row.lost, row.gained, row.p_forgotten, row.p_forgotten_adjusted, row.p_retained, row.p_difference)
        == (None,) * 6
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


def test_retention_is_the_share_of_the_skill_that_is_left():
    row, kept = one(400, 320, lost=80, gained=5), retention(pairs_of(400, 320, 80, 5), 0.9)
    assert row.retention is not None and kept is not None and row.retention == Estimate.of(kept)
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
    assert rows["margins"].flips is None


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
    assert oracle is not None and row.flips.forgotten == Estimate.of(oracle.forgotten)


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
        and flips.forgotten == Estimate.of(oracle.forgotten)
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


def test_rows_that_are_not_the_metrics_are_refused() -> None:
    of = {"task": "t", "metric": "mcc", "units": ("a", "b"), "sizes": (1, 1), "rows": np.ones((2, 3))}
    base, other = (Measurement(**of, model=model) for model in ("base", "lora"))
    with pytest.raises(NotComparableError, match="t: rows of 3 and 3 numbers, mcc has 4"):
        compare([task("t", MCC)], [base, other], plan())
