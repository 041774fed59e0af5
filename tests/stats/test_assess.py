"""One difference from rows: every kind of metric, dependent rows, and inputs with next to nothing in them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from evalharness.stats.assess import Finding, assess
from evalharness.stats.exact import exact_p
from evalharness.stats.paired import mcnemar, tango_interval
from evalharness.stats.pairs import Pairs, unit_loss
from evalharness.stats.resample import Floats
from evalharness.stats.verdict import decide


def mean(sums: Floats) -> Floats:
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


def recall(sums: Floats) -> Floats:
    """A corpus score: rows (found, sought), most units seek nothing."""
    return mean(sums)


def generator(purpose: str) -> np.random.Generator:
    return np.random.default_rng([7, len(purpose)])


def pairs(base: Any, candidate: Any, kind: Any = "binary", sizes: Any = None, **other: Any) -> Pairs:
    sizes = np.ones(len(base)) if sizes is None else np.asarray(sizes, dtype=float)
    rows = [np.column_stack([np.asarray(values, dtype=float), sizes]) for values in (base, candidate)]
    settled = {"low": 0.0, "high": 1.0, "sign": 1.0, "chance": 0.0, "margin": 0.02, **other}
    return Pairs(rows[0], rows[1], sizes, mean, kind, **settled)


def numbers(found: Finding) -> list[float]:
    values = [
        *found.base,
        *found.candidate,
        *found.difference,
        found.p_forgotten,
        found.p_retained,
        found.p_difference,
        found.skill,
    ]
    return [value for value in values if value is not None]


def verdict(found: Finding) -> str:
    assert found.p_forgotten is not None and found.p_retained is not None
    return decide(found.p_forgotten, found.p_retained, 0.05, units=found.units, can_retain=True, at_chance=False)


def test_single_answers_are_counted():
    base, other = np.ones(200), np.ones(200)
    other[:12], base[190:] = 0, 0
    found = assess(pairs(base, other), 0.9, generator)
    assert (found.lost, found.gained, found.units) == (12, 10, 200)
    assert found.difference[1:] == pytest.approx(tango_interval(10, 12, 200, 0.9))
    assert found.p_retained == exact_p(10, 12, 200, 0.02, "retained") and found.p_forgotten == exact_p(
        10, 12, 200, 0.02, "forgotten"
    )
    assert found.p_difference == mcnemar(10, 12) and found.few_changes


def test_fewer_errors_are_better_where_lower_is_better():
    base, other = np.ones(100), np.zeros(100)
    found = assess(pairs(base, other, sign=-1.0), 0.9, generator)
    assert found.difference.value == 1 and (found.lost, found.gained) == (0, 100)
    assert found.skill == -1  # the base is always in error, chance never


def test_dependent_answers_count_less():
    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.7).astype(float)
    other = np.where(rng.random(400) < 0.15, 1 - base, base)
    single = assess(pairs(base, other), 0.9, generator)
    copied = assess(pairs(5 * base, 5 * other, sizes=np.full(400, 5)), 0.9, generator)
    assert copied.counts is not None and copied.counts[2] == pytest.approx(400, rel=0.01)
    assert copied.difference == pytest.approx(single.difference, abs=1e-3) and copied.base == pytest.approx(
        single.base, abs=1e-3
    )
    assert copied.units == 400


def test_independent_answers_of_a_unit_count_fully():
    rng = np.random.default_rng(1)
    base = rng.binomial(1, 0.7, (300, 4))
    other = np.where(rng.random((300, 4)) < 0.1, 1 - base, base)
    found = assess(pairs(base.sum(axis=1), other.sum(axis=1), sizes=np.full(300, 4)), 0.9, generator)
    assert found.counts is not None and found.counts[2] > 900


def test_graded_scores_are_resampled():
    rng = np.random.default_rng(2)
    base = rng.uniform(0.2, 0.8, 300)
    found = assess(pairs(base, base - rng.uniform(0.03, 0.09, 300), "graded"), 0.9, generator)
    assert verdict(found) == "forgotten" and found.lost == 300 and found.counts is None
    assert found.p_difference is not None and found.p_difference < 0.001


def test_few_graded_changes_do_not_certify():
    base = np.full(60, 0.5)
    other = base.copy()
    other[0] = 0.49
    found = assess(pairs(base, other, "graded"), 0.9, generator)
    assert found.few_changes and verdict(found) == "inconclusive"
    assert (
        found.difference.low is not None and found.difference.low < -0.02
    )  # nor does the interval: one more loss may be a whole one
    assert verdict(assess(pairs(np.full(900, 0.5), np.full(900, 0.5), "graded"), 0.9, generator)) == "retained"


def test_a_rare_large_gain_that_was_not_seen_is_reckoned_with():
    """Ten of 60 lost .3 and none gained: by Student's t alone that is beyond the margin."""
    base, other = np.full(60, 0.5), np.full(60, 0.5)
    other[:10] -= 0.3
    found = assess(pairs(base, other, "graded"), 0.9, generator)
    assert ttest_1samp(other - base, -0.02, alternative="less").pvalue < 0.04 < 0.05 < found.p_forgotten
    many = assess(pairs(np.tile(base, 10), np.tile(other, 10), "graded"), 0.9, generator)
    assert verdict(many) == "forgotten" and not many.few_changes


def test_a_unit_of_a_corpus_score_may_cost_more_than_its_share():
    found, sought, lost = np.zeros(100), np.zeros(100), np.zeros(100)
    sought[:4], found[:3], found[3:4], lost[:2] = 1, 1, 0, 1
    rows, fewer, all_found = (np.column_stack([values, sought]) for values in (found, lost, sought))
    settled = (np.ones(100), recall, "corpus", 0.0, 1.0, 1.0, 0.0, 0.02)
    assert unit_loss(Pairs(rows, rows, *settled)) == pytest.approx(
        2 * (1 - 3 / 4)
    )  # without the one missed, recall is 1
    assert unit_loss(Pairs(all_found, rows, *settled)) == pytest.approx(1 / 4)  # what the one change is seen to cost
    assert unit_loss(Pairs(all_found, fewer, *settled)) == pytest.approx(1 / 4)


def test_corpus_scores_have_no_lost_units():
    rng = np.random.default_rng(3)
    values = rng.random(80)
    found = assess(pairs(values, values * 0.5, "corpus"), 0.9, generator)
    assert (found.lost, found.gained, found.changed, found.decreased) == (None, None, 80, 80)


@settings(max_examples=40)
@given(st.integers(0, 30), st.sampled_from(["binary", "graded", "corpus"]), st.integers(0, 10_000))
def test_never_not_a_number_and_never_both(units: int, kind: str, seed: int):
    rng = np.random.default_rng(seed)
    base, other = (rng.integers(0, 2, units) if kind == "binary" else rng.random(units).round(1) for _ in range(2))
    found = assess(pairs(base, other, kind), 0.9, generator)
    assert np.isfinite(numbers(found)).all()
    assert found.p_forgotten is not None and found.p_retained is not None
    assert not (found.p_forgotten <= 0.05 and found.p_retained <= 0.05)
    needed = found.examples_needed((0.05, 0.05))
    assert needed is None or needed > units


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_all_equal_and_all_flipped(kind: str):
    decided = {(1, 0, 10): "forgotten", (0, 1, 10): "retained" if kind == "binary" else "inconclusive"}
    for base, other, units in product((0, 1), (0, 1), (0, 1, 2, 9, 10)):
        finding = assess(pairs(np.full(units, base), np.full(units, other), kind), 0.9, generator)
        assert np.isfinite(numbers(finding)).all(), (base, other, units)
        assert verdict(finding) == decided.get((base, other, units), "inconclusive"), (base, other, units)


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
@pytest.mark.parametrize("sizes", [np.array([60.0]), np.array([60.0, 1.0]), np.full(12, 5.0)])
def test_one_passage_and_a_dozen_are_no_trouble(kind: str, sizes: Any):
    rng = np.random.default_rng(6)
    base = rng.binomial(sizes.astype(int), 0.7).astype(float)
    for other in (base, sizes - base, np.zeros(len(sizes)), sizes):
        found = assess(pairs(base, other, kind, sizes), 0.9, generator)
        assert np.isfinite(numbers(found)).all()
        assert len(sizes) >= 10 or verdict(found) == "inconclusive"


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_a_base_at_chance_has_nothing_to_forget_and_a_perfect_one_all(kind: str):
    half, whole = np.tile([0.0, 1.0], 100), np.ones(200)
    guessing = assess(pairs(half, 1 - half, kind, chance=0.5), 0.9, generator)
    assert guessing.at_chance and guessing.skill == 0
    perfect = assess(pairs(whole, np.where(np.arange(200) < 30, 0.0, 1.0), kind, chance=0.5), 0.9, generator)
    assert not perfect.at_chance and verdict(perfect) == "forgotten" and np.isfinite(numbers(perfect)).all()
    assert perfect.base.high == 1.0 and perfect.base.low is not None and perfect.base.low <= 1.0


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_no_rule_of_chance_holds_where_chance_is_unknown(kind: str):
    base = np.tile([0.0, 0.0, 0.0, 1.0], 100)
    there = pairs(base, base, kind, chance=0.25)
    assert assess(there, 0.9, generator).at_chance
    unknown = assess(replace(there, chance=None), 0.9, generator)
    assert unknown.skill is None and not unknown.at_chance and unknown.can_retain


@pytest.mark.parametrize("kind", ["binary", "graded"])
def test_swapping_the_models_mirrors_the_interval(kind: str):
    rng = np.random.default_rng(4)
    base, other = (rng.integers(0, 2, 150) if kind == "binary" else rng.random(150) for _ in range(2))
    there, back = (assess(pairs(*order, kind), 0.9, generator).difference for order in ((base, other), (other, base)))
    assert there.low is not None and there.high is not None and back.low is not None and back.high is not None
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low), abs=0.01 * (kind == "graded") + 1e-9
    )


def test_without_a_margin_a_difference_is_only_described():
    found = assess(pairs([1] * 50, [0] * 50, margin=None), 0.9, generator)
    assert (
        found.p_forgotten is None
        and found.p_retained is None
        and found.p_difference is not None
        and found.examples_needed((0.05, 0.05)) is None
    )
