"""The suite and the families: which units they take, their mean, and that families only describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from measured_runs import ACC, MCC, MMLU, ROUGE, answers, both, by_task, grouped, measured, plan, scored, task

from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.gate import judge
from evalharness.analysis.phrases import would_decide
from evalharness.records.comparison import Comparison
from evalharness.records.measurements import MetricFacts
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results


def test_the_suite_is_the_plain_mean_in_margins():
    """A group counts once, by its own margin of .03; the others have .02."""
    rows = by_task(grouped(groups=(MMLU,), suite_name="demo"))
    suite = rows["demo"]
    assert suite.difference.value == pytest.approx((-80 / 400 / 0.03 + 0.0) / 2)
    assert (suite.level, suite.unit, suite.metric, suite.margin, suite.verdict, suite.n) == (
        "suite",
        True,
        "margins",
        1.0,
        "forgotten",
        900,
    )
    assert (suite.base, suite.candidate_score) == (None, None) and (suite.lost, suite.gained) == (83, 3)
    assert suite.median == pytest.approx(suite.difference.value)


def three(targets: dict[str, str], guessed: int = 100) -> Mapping[str, Comparison]:
    facts = [task("a"), task("guess"), task("target")]
    measurements = [*both("a", 400, 320, 4, 4), *both("guess", 400, guessed, 50), *both("target", 400, 200, 0, 150)]
    return by_task(compare(facts, measurements, plan(targets=targets)))


def test_the_suite_leaves_out_the_target_and_nothing_else():
    """A base at chance counts as any other does: what enters is fixed before anything is asked."""
    rows = three({"lora": "target"})
    assert "base_at_chance" in rows["guess"].flags and rows["target"].unit
    assert rows["suite"].n == 800 and rows["suite"].difference.value == pytest.approx((0 - 50 / 400 / 0.02) / 2)
    assert "no_target" not in rows["suite"].flags
    lucky = three({"lora": "target"}, guessed=130)  # as is one whose base happened to guess well
    assert "base_at_chance" not in lucky["guess"].flags and lucky["suite"].n == 800
    assert lucky["suite"].difference.value == rows["suite"].difference.value


def test_rows_say_how_many_examples_their_units_are_of():
    of_five = [measured("a", model, np.arange(60) % 6.0, sizes=[5] * 60) for model in ("base", "lora")]
    rows = by_task(compare([task("a"), task("b")], [*of_five, *both("b", 400, 300)], plan()))
    assert [(rows[name].n, rows[name].examples) for name in ("a", "b", "suite")] == [(60, 300), (400, 400), (460, 700)]
    assert "units (of 5 rows on average) would show" in would_decide(rows["a"])


def test_that_no_target_was_declared_is_said_beside_the_suite():
    rows = three({})
    assert "no_target" in rows["suite"].flags and rows["suite"].n == 1200
    assert not any("no_target" in rows[name].flags for name in ("a", "guess", "target"))
    elsewhere = three({"lora": "not asked"})["suite"]
    assert elsewhere.n == 1200 and "no_target" not in elsewhere.flags


def test_a_group_with_the_target_in_it_is_pooled_again_without_it():
    rows = by_task(grouped(groups=(MMLU,), targets={"lora": "m2"}))
    assert rows["mmlu"].n == 400 and rows["suite"].n == 600
    assert rows["suite"].difference.value == pytest.approx((-20 / 100 / 0.03 + 0.0) / 2)
    alone = replace(MMLU, tasks=("m2",))
    assert by_task(grouped(groups=(alone,), targets={"lora": "m2"}))["suite"].n == 600  # m1 and sst2


def test_a_suite_of_which_nothing_was_measured_is_null_and_inconclusive():
    failed = [task("t", failed={"lora": 400})]
    suite = by_task(compare(failed, both("t", 400, 320)[:1], plan()))["suite"]
    assert suite.verdict == "inconclusive" and suite.n == 0 and suite.would_decide is None
    values = (suite.base, suite.candidate_score, suite.difference, suite.p_forgotten, suite.p_retained, suite.retention)
    assert values == (None,) * 6 and suite.median is None and suite.general is None


@pytest.mark.parametrize(
    ("chance", "verdict"), [(0.25, "retained"), (0.65, "retained"), (0.71, "inconclusive"), (None, "inconclusive")]
)
def test_a_suite_of_bases_that_can_do_little_certifies_nothing(chance: float | None, verdict: str):
    """The units' mean skill must be 5 margins of .02: of .55, .15, .09, and of one that is not known and counts 0."""
    facts = [task(name, chance=chance) for name in "ab"]
    suite = by_task(compare(facts, [*both("a", 2000, 1600, 5, 5), *both("b", 2000, 1600, 5, 5)], plan()))["suite"]
    why = {"margin_exceeds_skill", "chance_unknown"} & set(suite.flags)
    wanted = {"retained": set(), "inconclusive": {"margin_exceeds_skill" if chance else "chance_unknown"}}
    assert (suite.verdict, why) == (verdict, wanted[verdict])


def test_a_suite_of_one_task_at_chance_or_without_a_range_is_no_more_than_its_task():
    """400 answers that stand at chance, of which none changed, at a margin that their skill would allow."""
    guessing = by_task(compare([task("a", chance=0.5)], both("a", 400, 216, 0, 0), plan(margins={"a": 0.008})))
    assert guessing["a"].verdict == guessing["suite"].verdict == "inconclusive"
    assert "base_at_chance" in guessing["suite"].flags and guessing["suite"].would_decide is None


def test_a_unit_of_one_row_stays_in_the_suite():
    """Nothing enters or leaves by its size: the only row of a unit is lost, and the mean says so."""
    facts = [task(name, chance=0.25) for name in "ab"]
    suite = by_task(compare(facts, [*both("a", 1, 1, 1, 0), *both("b", 500, 400, 5, 5)], plan()))["suite"]
    assert suite.difference.value == pytest.approx(-25) and suite.n == 501 and suite.verdict == "inconclusive"


def test_a_large_gain_pays_for_no_losses_elsewhere():
    """14 tasks lose 2.5 points at a margin of 2, one gains 50: the mean is a gain, and the suite is not retained."""
    names = [f"t{i}" for i in range(14)]
    measurements = [m for name in names for m in both(name, 600, 480, 20, 5)]
    facts = [task(name) for name in (*names, "gain")]
    suite = by_task(compare(facts, [*measurements, *both("gain", 600, 240, 0, 300)], plan()))["suite"]
    assert suite.difference.value == pytest.approx((14 * -1.25 + 25) / 15) and suite.median == pytest.approx(-1.25)
    assert suite.verdict == "inconclusive" and suite.p_forgotten > 0.99 and suite.p_retained > 0.05


@pytest.mark.parametrize("lost", [0, 8, 30, 120])
@pytest.mark.parametrize("metric", [ACC, ROUGE, MCC], ids=lambda metric: metric.kind)
def test_a_suite_of_one_task_says_what_its_task_says(metric: MetricFacts, lost: int):
    right = (np.arange(600) % 10 < 8).astype(float)
    other = right.copy()
    other[np.flatnonzero(right)[:lost]] = 0
    pair = [scored(metric, model, values) for model, values in (("base", right), ("lora", other))]
    rows = by_task(compare([task("t", metric, chance=0.0 if metric is MCC else 0.25)], pair, plan()))
    one, suite = rows["t"], rows["suite"]
    assert (suite.verdict, suite.p_forgotten, suite.p_retained) == (one.verdict, one.p_forgotten, one.p_retained)
    ends = [(each.difference.value, each.difference.low, each.difference.high) for each in (one, suite)]
    assert ends[1] == pytest.approx([end / 0.02 for end in ends[0]])
    assert suite.would_decide is None or suite.would_decide.verdict == one.would_decide.verdict


def test_general_ability_is_the_plain_mean_in_points():
    """Over what was not trained on and is scored from 0 to 1, what the base cannot do included; its interval is that of
    independent strata, and a little more for what was not seen.
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
    assert 2 * 1.645 * spread < suite.general.high - suite.general.low < 1.15 * 2 * 1.645 * spread
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


def test_families_are_means_in_margins_and_only_describe():
    rows = families(targets={"lora": "d"})
    by_name = {row.task: row for row in rows if row.level == "family"}
    assert list(by_name) == ["glue", "superglue", "other"]  # nothing of "demo" but the target
    assert by_name["glue"].difference.value == pytest.approx((-40 / 400 - 3 / 300) / 2 / 0.02)
    assert by_name["glue"].median == pytest.approx(by_name["glue"].difference.value)
    assert by_name["glue"].difference.low < by_name["glue"].difference.value < by_name["glue"].difference.high < 0
    assert by_name["superglue"].retention.value == pytest.approx(1 - 10 / 200 / 0.5) and by_name["superglue"].n == 200
    assert by_name["other"].n == 300 and by_name["other"].retention is None  # a base at chance has no skill to keep
    for row in by_name.values():
        deciding = (row.verdict, row.margin, row.p_forgotten, row.p_forgotten_adjusted, row.p_retained)
        assert not row.unit and not row.primary and deciding == (None,) * 5
        assert (row.metric, row.family, row.adjustment, row.general) == ("margins", row.task, None, None)
        assert (row.base, row.candidate_score) == (None, None)
    suite = next(row for row in rows if row.level == "suite")
    glue, superglue, other = (by_name[name].difference.value for name in by_name)
    assert suite.difference.value == pytest.approx((2 * glue + superglue + other) / 4)


def test_the_share_of_skill_kept_is_described_over_units_that_show_skill():
    suite = next(row for row in families(targets={"lora": "d"}) if row.level == "suite")
    kept = [1 - 40 / 400 / 0.55, 1 - 3 / 300 / 0.55, 1 - 10 / 200 / 0.5]
    assert suite.retention.value == pytest.approx(np.mean(kept)) and suite.retention.low < suite.retention.value


def test_families_never_gate_and_one_family_is_the_suite():
    rows = families()
    alone = [row for row in rows if row.level != "family"]
    models = (
        ModelRow(
            name="base",
            kind="base",
            fingerprint="b",
            base=None,
            parameters=1,
            trainable=0,
            trainable_share=0.0,
            bytes=1,
        ),
        ModelRow(
            name="lora",
            kind="lora",
            fingerprint="l",
            base="base",
            parameters=1,
            trainable=1,
            trainable_share=1.0,
            bytes=1,
        ),
    )
    assert judge(Results(signature={}, models=models, comparisons=rows), Policy()) == judge(
        Results(signature={}, models=models, comparisons=tuple(alone)), Policy()
    )
    assert not any(
        row.level == "family"
        for row in compare([task("a"), task("b")], [*both("a", 400, 320), *both("b", 300, 240)], plan())
    )
    assert target_gain(rows, "lora", "glue") == (None, None)
