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

from evalharness.stats.assess import Finding, assess, mean_of
from evalharness.stats.exact import exact_p
from evalharness.stats.needed import needed
from evalharness.stats.paired import mcnemar, tango_interval
from evalharness.stats.pairs import Pairs, unit_loss
from evalharness.stats.resample import Floats
from evalharness.stats.verdict import decide


def mean(sums: Floats) -> Floats:
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


def recall(sums: Floats) -> Floats:
    """A corpus score: rows (found, sought), most units seek nothing."""
    return mean(sums)


def assessed(of: Pairs, swaps: int = 200) -> Finding:
    return assess(of, 0.9, np.random.default_rng(7), swaps)


def pairs(base: Any, candidate: Any, kind: Any = "binary", sizes: Any = None, **other: Any) -> Pairs:
    sizes = np.ones(len(base)) if sizes is None else np.asarray(sizes, dtype=float)
    rows = [np.column_stack([np.asarray(values, dtype=float), sizes]) for values in (base, candidate)]
    settled = {"low": 0.0, "high": 1.0, "sign": 1.0, "chance": 0.0, "margin": 0.02, **other}
    return Pairs(rows[0], rows[1], sizes, mean, kind, **settled)


def numbers(of: Finding) -> list[float]:
    values = [*of.base, *of.candidate, *of.difference, of.p_forgotten, of.p_retained, of.p_difference, of.skill]
    return [value for value in values if value is not None]


def verdict(of: Finding) -> str:
    """The verdict where nothing but the difference counts."""
    assert of.p_forgotten is not None and of.p_retained is not None
    return decide(of.p_forgotten, of.p_retained, 0.05, units=of.units, can_retain=True)


def test_single_answers_are_counted():
    base, other = np.ones(200), np.ones(200)
    other[:12], base[190:] = 0, 0
    finding = assessed(pairs(base, other))
    assert (finding.lost, finding.gained, finding.units) == (12, 10, 200)
    assert finding.difference[1:] == pytest.approx(tango_interval(10, 12, 200, 0.9))
    assert finding.p_retained == exact_p(10, 12, 200, 0.02, "retained") and finding.p_forgotten == exact_p(
        10, 12, 200, 0.02, "forgotten"
    )
    assert finding.p_difference == mcnemar(10, 12)


def test_fewer_errors_are_better_where_lower_is_better():
    base, other = np.ones(100), np.zeros(100)
    finding = assessed(pairs(base, other, sign=-1.0))
    assert finding.difference.value == 1 and (finding.lost, finding.gained) == (0, 100)
    assert finding.skill == -1  # the base is always in error, chance never


def test_dependent_answers_count_less():
    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.7).astype(float)
    other = np.where(rng.random(400) < 0.15, 1 - base, base)
    single = assessed(pairs(base, other))
    copied = assessed(pairs(5 * base, 5 * other, sizes=np.full(400, 5)))
    assert copied.counts is not None and copied.counts[2] == pytest.approx(400, rel=0.01)
    assert copied.difference == pytest.approx(single.difference, abs=1e-3) and copied.base == pytest.approx(
        single.base, abs=1e-3
    )
    assert copied.units == 400


def test_independent_answers_of_a_unit_count_fully():
    rng = np.random.default_rng(1)
    base = rng.binomial(1, 0.7, (300, 4))
    other = np.where(rng.random((300, 4)) < 0.1, 1 - base, base)
    finding = assessed(pairs(base.sum(axis=1), other.sum(axis=1), sizes=np.full(300, 4)))
    assert finding.counts is not None and finding.counts[2] > 900


def test_graded_scores_are_tested_by_their_mean_over_units():
    rng = np.random.default_rng(2)
    base = rng.uniform(0.2, 0.8, 300)
    finding = assessed(pairs(base, base - rng.uniform(0.03, 0.09, 300), "graded"))
    assert verdict(finding) == "forgotten" and finding.lost == 300 and finding.counts is None
    assert finding.p_difference is not None and finding.p_difference < 0.01
    assert finding.mean is not None and finding.p_forgotten == finding.mean.p_at_least(-0.02)
    assert finding.difference[1:] == finding.mean.interval(0.9) and finding.p_at(0.06) == (
        finding.mean.p_at_least(-0.06),
        finding.mean.p_at_most(-0.06),
    )


@pytest.mark.parametrize(("n", "retained"), [(20, False), (100, False), (148, False), (149, True), (500, True)])
def test_noise_certifies_no_more_than_identical_answers(n: int, retained: bool):
    """A collapse of everything in a 50th of the rows may have been missed with probability .98ⁿ: log .05 / log .98 is
    148.3.
    """
    base, noise = np.full(n, 0.5), np.random.default_rng(1).uniform(-1e-6, 1e-6, n)
    for other in (base, base + noise):
        finding = assessed(pairs(base, other, "graded"))
        assert finding.p_retained == pytest.approx(0.98**n, rel=1e-4)
        assert finding.verdict(1.0, finding.p_retained, 0.05) == ("retained" if retained else "inconclusive")


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_differences_of_rounding_are_no_changes(scale: float):
    base = scale * np.full(50, 0.5)
    for step, changed in ((1e-10, 0), (1e-8, 50)):
        less = assessed(pairs(base, base - scale * step, "graded", high=scale, margin=0.02 * scale))
        more = assessed(pairs(base, base + scale * step, "graded", high=scale, margin=0.02 * scale))
        assert (less.lost, less.gained, less.changed) == (changed, 0, changed)
        assert (more.lost, more.gained, more.changed) == (0, changed, changed)
    endless = assessed(pairs(1e6 * base, 1e6 * base + 1e-6, "graded", high=np.inf, sign=-1.0, chance=None))
    assert (endless.lost, endless.changed) == (0, 0)  # of the values, where there is no range


def test_few_graded_changes_do_not_certify():
    base = np.full(60, 0.5)
    other = base.copy()
    other[0] = 0.49
    finding = assessed(pairs(base, other, "graded"))
    assert verdict(finding) == "inconclusive" and finding.lost == 1
    low = finding.difference.low
    assert low is not None and low < -0.02  # nor does the interval: one more loss may be a whole one
    assert verdict(assessed(pairs(np.full(900, 0.5), np.full(900, 0.5), "graded"))) == "retained"


def test_a_rare_large_gain_that_was_not_seen_is_reckoned_with():
    """Ten of 60 lost .3 and none gained: by Student's t alone that is beyond the margin. By Gaffke the unseen unit may
    have gained all, so that p = P(−.28 A + .02 B + 1.02 C ≥ 0) for gammas of 10, 50 and 1.
    """
    base, other = np.full(60, 0.5), np.full(60, 0.5)
    other[:10] -= 0.3
    finding = assessed(pairs(base, other, "graded"))
    drawn = np.random.default_rng(0).standard_gamma([10, 50, 1], (100_000, 3)) @ [-0.28, 0.02, 1.02] >= 0
    assert finding.p_forgotten == pytest.approx(drawn.mean(), abs=0.006)
    assert ttest_1samp(other - base, -0.02, alternative="less").pvalue < 0.04 < 0.05 < finding.p_forgotten
    assert verdict(assessed(pairs(np.tile(base, 10), np.tile(other, 10), "graded"))) == "forgotten"


def collapse(rng: np.random.Generator, n: int) -> Pairs:
    """Scores of .8 that jitter, and of which 2.5 % fall to 0: a true loss of .02."""
    fallen = rng.random(n) < 0.025
    return pairs(np.full(n, 0.8), np.where(fallen, 0.0, 0.8 + rng.normal(0, 1e-3, n)), "graded")


@pytest.mark.parametrize("n", [20, 50, 100])
def test_a_rare_collapse_is_not_certified_away(n: int):
    """At a true loss of exactly the margin; Student's t on what was seen retains 60 % at n = 20."""
    rng = np.random.default_rng(n)
    wrong = [mean_of(collapse(rng, n)).p_at_most(-0.02) <= 0.05 for _ in range(400)]
    assert np.mean(wrong) <= 0.05


def test_a_small_loss_beside_rare_large_gains_is_not_forgotten():
    """A third of 100 scores falls by .09 and one in 90 gains .9: the true loss is .02, the margin."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(400):
        base = np.full(100, 0.1)
        luck = rng.random(100)
        other = base + np.where(luck < 1 / 3, -0.09, np.where(luck > 1 - 1 / 90, 0.9, 0.0))
        wrong += mean_of(pairs(base, other, "graded")).p_at_least(-0.02) <= 0.05
    assert wrong / 400 <= 0.05


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_falling_below_chance_is_forgotten_where_the_base_is_at_chance(kind: str):
    """1,000 rows of four choices, .248 → .000: what was guessed right is lost."""
    base = (np.arange(1000) < 248).astype(float)
    finding = assessed(pairs(base, np.zeros(1000), kind, chance=0.25))
    assert finding.at_chance and not finding.can_retain
    assert finding.p_forgotten < 1e-40 and finding.verdict(finding.p_forgotten, 1.0, 0.05) == "forgotten"
    same = assessed(pairs(base, base, kind, chance=0.25))
    assert same.verdict(1.0, same.p_retained, 0.05) == "inconclusive"  # who guesses keeps nothing


def test_a_loss_without_an_end_is_forgotten_and_never_retained():
    """Perplexities: less is better, no chance, no range."""
    rng = np.random.default_rng(4)
    base = rng.gamma(4, 2, 400)
    lost, kept = (
        assessed(pairs(base, other, "graded", high=np.inf, sign=-1.0, chance=None, margin=0.5))
        for other in (base * rng.uniform(5, 9, 400), base)
    )
    assert lost.skill is None and not lost.at_chance and not lost.bounded and not lost.can_retain
    assert lost.verdict(lost.p_forgotten, lost.p_retained, 0.05) == "forgotten"
    assert kept.verdict(kept.p_forgotten, kept.p_retained, 0.05) == "inconclusive" and kept.p_retained == 1.0


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
    finding = assessed(pairs(values, values * 0.5, "corpus"))
    assert (finding.lost, finding.gained, finding.changed) == (None, None, 80)


@settings(max_examples=40)
@given(st.integers(0, 30), st.sampled_from(["binary", "graded", "corpus"]), st.integers(0, 10_000))
def test_never_not_a_number_and_never_both(units: int, kind: str, seed: int):
    rng = np.random.default_rng(seed)
    base, other = (rng.integers(0, 2, units) if kind == "binary" else rng.random(units).round(1) for _ in range(2))
    finding = assessed(pairs(base, other, kind))
    assert np.isfinite(numbers(finding)).all()
    assert finding.p_forgotten is not None and finding.p_retained is not None
    assert not (finding.p_forgotten <= 0.05 and finding.p_retained <= 0.05)
    what = needed(finding, (0.05, 0.05))
    decided = min(finding.p_forgotten, finding.p_retained) <= 0.05
    assert what is None or what.units is None or decided or what.units > units


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_all_equal_and_all_flipped(kind: str):
    changed = {(1, 0, 10): "forgotten", (0, 1, 10): "retained"}
    for base, other, units in product((0, 1), (0, 1), (0, 1, 2, 9, 10)):
        finding = assessed(pairs(np.full(units, base), np.full(units, other), kind))
        assert np.isfinite(numbers(finding)).all(), (base, other, units)
        assert verdict(finding) == changed.get((base, other, units), "inconclusive"), (base, other, units)


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
@pytest.mark.parametrize("sizes", [np.array([60.0]), np.array([60.0, 1.0]), np.full(12, 5.0)])
def test_one_passage_and_a_dozen_are_no_trouble(kind: str, sizes: Any):
    rng = np.random.default_rng(6)
    base = rng.binomial(sizes.astype(int), 0.7).astype(float)
    for other in (base, sizes - base, np.zeros(len(sizes)), sizes):
        finding = assessed(pairs(base, other, kind, sizes))
        assert np.isfinite(numbers(finding)).all()
        assert len(sizes) >= 10 or verdict(finding) == "inconclusive"


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_a_base_that_guesses_is_at_chance_and_a_perfect_one_may_forget(kind: str):
    half, whole = np.tile([0.0, 1.0], 100), np.ones(200)
    guessing = assessed(pairs(half, 1 - half, kind, chance=0.5))
    assert guessing.at_chance and guessing.skill == 0
    perfect = assessed(pairs(whole, np.where(np.arange(200) < 30, 0.0, 1.0), kind, chance=0.5))
    assert not perfect.at_chance and verdict(perfect) == "forgotten" and np.isfinite(numbers(perfect)).all()
    assert perfect.base.high == 1.0 and perfect.base.low is not None and perfect.base.low <= 1.0


@pytest.mark.parametrize("kind", ["binary", "graded", "corpus"])
def test_no_rule_of_chance_holds_where_chance_is_unknown(kind: str):
    base = np.tile([0.0, 0.0, 0.0, 1.0], 100)
    there = pairs(base, base, kind, chance=0.25)
    assert assessed(there).at_chance
    unknown = assessed(replace(there, chance=None))
    assert unknown.skill is None and not unknown.at_chance and unknown.can_retain


@pytest.mark.parametrize("kind", ["binary", "graded"])
def test_swapping_the_models_mirrors_the_interval(kind: str):
    rng = np.random.default_rng(4)
    base, other = (rng.integers(0, 2, 150) if kind == "binary" else rng.random(150) for _ in range(2))
    there, back = (assessed(pairs(*order, kind)).difference for order in ((base, other), (other, base)))
    assert there.low is not None and there.high is not None and back.low is not None and back.high is not None
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low), abs=0.01 * (kind == "graded") + 1e-9
    )


def test_without_a_margin_a_difference_is_only_described():
    finding = assessed(pairs([1] * 50, [0] * 50, margin=None))
    assert (finding.p_forgotten, finding.p_retained, needed(finding, (0.05, 0.05))) == (None, None, None)
    assert finding.p_difference is not None
