"""The suite and the families: which units they take, their mean, and that families only describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from measured_runs import MMLU, ROUGE, answers, both, by_task, grouped, measured, plan, task

from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.gate import judge
from evalharness.records.comparison import Comparison
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results


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
    suite = rows["suite"]
    assert suite.verdict == "inconclusive" and suite.n == 0 and "base_at_chance" in suite.flags
    assert (suite.base, suite.candidate_score, suite.difference, suite.p_retained) == (None,) * 4


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
