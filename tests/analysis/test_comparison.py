"""Measurements to comparisons as a whole: determinism, references, what was learned."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sacrebleu
from measured_runs import MMLU, ROUGE, answers, assert_numbers, both, measured, plan, task

from evalharness.analysis.comparison import compare, target_gain
from evalharness.errors import UsageError
from evalharness.metrics.build import build, facts_of
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import FlipShares
from evalharness.records.tasks import MetricSpec


def test_no_number_is_missing_or_not_a_number():
    facts = [task("a"), task("b", ROUGE, chance=0.0), task("c")]
    measurements = [
        *both("a", 12, 12, 12),
        measured("b", "base", [0.5], "rougeL"),
        measured("b", "lora", [0.5], "rougeL"),
        *both("c", 0, 0),
    ]
    assert_numbers(compare(facts, measurements, plan()))


def test_neither_order_nor_company_moves_a_number():
    rng = np.random.default_rng(5)
    facts = [task("a", ROUGE, chance=0.0), task("b", ROUGE, chance=0.0)]
    measurements = [
        measured(name, model, rng.random(60), "rougeL") for name in "ab" for model in ("base", "lora", "full")
    ]
    two = ComparePlan(base="base", candidates=("lora", "full"))
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


def test_what_a_corpus_bleu_is_made_of_stands_beside_it():
    bleu = facts_of(spec := MetricSpec(id="bleu", name="bleu"), build(spec))
    rows = np.array([[4, 5, 4, 3, 2, 1, 4, 3, 2, 1], [6, 5, 2, 1, 0, 0, 6, 5, 4, 3]], dtype=float)
    measurements = [replace(measured("t", model, [0, 0], "bleu"), rows=rows[::order]) for model, order in
                    (("base", 1), ("lora", -1))]  # fmt: skip
    (row,) = (row for row in compare([task("t", bleu, chance=0.0)], measurements, plan()) if row.level == "task")
    theirs = sacrebleu.BLEU.compute_bleu([6, 4, 2, 1], [10, 8, 6, 4], 10, 10, smooth_method="none")
    assert row.base_parts == row.candidate_parts and row.base is not None
    assert [row.base_parts[f"precision{order}"] for order in range(1, 5)] == pytest.approx(theirs.precisions)
    assert (row.base_parts["brevity_penalty"], row.base_parts["words"]) == (theirs.bp, 10)
    assert row.base.value == pytest.approx(theirs.score)
    (unmeasured,) = (r for r in compare([task("a")], both("a", 10, 5), plan()) if r.level == "task")
    assert unmeasured.base_parts == {}


def test_what_was_learned_is_the_gain_beyond_doubt():
    facts = [task("a"), task("target")]
    rows = compare(facts, [*both("a", 100, 80), *both("target", 400, 200, 5, 100)], plan(targets={"lora": "target"}))
    gain, learned = target_gain(rows, "lora", "target")
    assert gain is not None and gain.value == pytest.approx(95 / 400) and learned is True
    assert target_gain(rows, "lora", "a")[1] is None  # 100 equal answers: a gain of 2 points is not ruled out
    equal = compare(facts[:1], both("a", 1000, 800), plan())
    assert target_gain(equal, "lora", "a")[1] is False  # a thousand rule it out
    assert target_gain(rows, "lora", "elsewhere") == (None, None) == target_gain(rows, "another", "target")
    failed = [replace(facts[1], failed={"lora": 400})]
    assert target_gain(compare(failed, both("target", 400, 200)[:1], plan()), "lora", "target") == (None, None)
    guessing = [[replace(each, chance=chance) for each in facts] for chance in (0.75, 0.8)]  # up to it from below
    assert [target_gain(rows, "lora", "target", known)[1] for known in (facts, *guessing)] == [True, None, False]


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 0.5}, *({"margins": {"t": margin}} for margin in (0.0, -0.1, float("nan")))]
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, Any]):
    with pytest.raises(UsageError):
        plan(**wrong)


def test_a_margin_of_nothing_is_refused_because_no_number_of_examples_can_show_it():
    with pytest.raises(UsageError, match="no number of examples can show that nothing at all was lost"):
        plan(margins={"t": 0.0})


@pytest.mark.slow
def test_comparing_needs_no_model_library():
    heavy = {"torch", "transformers", "datasets", "evaluate", "pandas", "matplotlib"}
    code = f"import sys, evalharness.analysis, evalharness.analysis.gate; print(sorted({heavy} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


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
        assert row.difference.value == 0 and row.flips in (None, FlipShares(share=0.0, lost=0.0, gained=0.0))
        assert row.general is None or (row.general.value == 0 and row.general.low < 0 < row.general.high)
    assert {row.level for row in rows} == {"task", "group", "family", "suite"}


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
