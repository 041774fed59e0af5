"""What is foretold against what the verdicts then are, on answers drawn here; and the pieces against the tests they
stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from stats.drawn_answers import flipped, graded, near, paired

from evalharness.stats.assess import assess, assess_at_margin
from evalharness.stats.forecast import (
    Rule,
    at_chance,
    effective_answers,
    enumerated_outlook,
    find_blocker,
    simulated_outlook,
    verdict_of,
)
from evalharness.stats.pairs import Pairs
from evalharness.stats.power import odds
from evalharness.stats.redraw import redraw_units
from evalharness.stats.verdict import decide


def shares(draw: Callable[[np.random.Generator], Pairs], rule: Rule, times: int, seed: int) -> tuple[float, float]:
    """How often data drawn afresh come out retained, and forgotten, by `assess_at_margin` and `decide`."""
    rng, verdicts = np.random.default_rng(seed), list[str]()
    for _ in range(times):
        finding = assess_at_margin(replace(draw(rng), margin=rule.margin), 0.9)
        p = min(1.0, rule.tests * (finding.p_forgotten or 0.0))
        can_retain = finding.can_retain
        verdicts.append(decide(p, finding.p_retained or 0.0, rule.alpha, units=finding.units, can_retain=can_retain))
    return verdicts.count("retained") / times, verdicts.count("forgotten") / times


@pytest.mark.parametrize(("n", "flips", "margin"), [(500, 0.1, 0.03), (300, 0.01, 0.015)])
def test_enumerated_odds_are_how_often_verdicts_come_out(n: int, flips: float, margin: float) -> None:
    rule = Rule(margin=margin, tests=3)
    told = enumerated_outlook(n, flips, rule)
    retained, forgotten = shares(lambda rng: paired(*flipped(n, 0.95, flips, rng)), rule, 100, 1)
    assert near(retained, told.retained, 100) and near(forgotten, told.forgotten, 100) and 0.1 < told.retained < 0.95


def test_the_certifiable_margin_is_certified_and_the_needed_number_is_enough() -> None:
    told = enumerated_outlook(277, 0.1, Rule(margin=0.02, tests=10))
    # By the normal formula (1.645 + .842) · √(.1 / 277) = .047 and (1.645 + .842)² · .1 / .02² = 1546; counts are whole
    # numbers, which takes a little more: enumeration says .049 and 1565.
    assert told.certifiable == pytest.approx(0.049, abs=0.001) and told.needed == 1565
    assert (
        odds(277, 0.1, 0.0, told.certifiable, (0.0, 0.05)).retained
        >= 0.8
        > odds(277, 0.1, 0.0, 0.97 * told.certifiable, (0.0, 0.05)).retained
    )
    assert odds(1565, 0.1, 0.0, 0.02, (0.0, 0.05)).retained >= 0.8
    assert told.detectable is not None and odds(277, 0.1, told.detectable, 0.02, (0.005, 0.0)).forgotten >= 0.8


def test_fewer_than_ten_units_decide_nothing() -> None:
    told = enumerated_outlook(9, 0.1, Rule(margin=0.02))
    assert (told.certifiable, told.detectable, told.retained, told.forgotten) == (
        None,
        None,
        0.0,
        0.0,
    ) and told.needed == 1565
    drawn = simulated_outlook(
        partial(redraw_units, paired(*graded(40, np.random.default_rng(1)), "graded", 0.0), 9),
        Rule(margin=0.02),
        20,
        np.random.default_rng(2),
    )
    assert (drawn.certifiable, drawn.detectable, drawn.retained, drawn.forgotten) == (None, None, 0.0, 0.0)


@pytest.mark.parametrize(("n", "margin"), [(100, 0.03), pytest.param(300, 0.02, marks=pytest.mark.slow)])
def test_simulated_odds_of_graded_scores_are_how_often_verdicts_come_out(n: int, margin: float) -> None:
    rule = Rule(margin=margin)
    earlier = paired(*graded(2000, np.random.default_rng(3)), "graded", 0.0)
    told = simulated_outlook(partial(redraw_units, earlier, n), rule, 100, np.random.default_rng(4))
    retained, forgotten = shares(lambda rng: paired(*graded(n, rng), "graded", 0.0), rule, 100, 5)
    assert (
        near(retained, told.retained, 100, 100)
        and near(forgotten, told.forgotten, 100, 100)
        and 0.1 < told.retained < 0.95
    )
    wider = simulated_outlook(
        partial(redraw_units, earlier, n), Rule(margin=told.certifiable or 0.0), 100, np.random.default_rng(6)
    )
    assert near(wider.retained, 0.8, 100, 100)


@pytest.mark.slow
def test_a_drop_as_large_as_the_detectable_one_is_found() -> None:
    """Not by every score falling alike, but by more of those that change falling, as 0/1 answers are foretold."""
    rule = Rule(margin=0.02, tests=5)
    earlier = paired(*graded(2000, np.random.default_rng(3)), "graded", 0.0)
    drop = simulated_outlook(partial(redraw_units, earlier, 300), rule, 200, np.random.default_rng(4)).detectable
    assert drop is not None and drop > rule.margin
    size = float(np.abs(earlier.candidate - earlier.base)[:, 0].mean())

    def fallen(rng: np.random.Generator) -> Pairs:
        base, other = graded(300, rng)
        down = rng.random(300) < 0.5 + drop / size / 2
        return paired(
            np.where(down, np.maximum(base, other), np.minimum(base, other)),
            np.where(down, np.minimum(base, other), np.maximum(base, other)),
            "graded",
            0.0,
        )

    assert near(shares(fallen, rule, 150, 7)[1], 0.8, 150, 200)


def passages(number: int, rng: np.random.Generator, drop: float = 0.0) -> Pairs:
    """Five questions a passage, and what happens to a passage happens to all of its questions; one in five passages
    changes.
    """
    fate = rng.random(number)
    moves = np.where(fate < 0.1 + drop / 2, -4.0, np.where(fate < 0.2, 4.0, 0.0))
    base = np.where(moves < 0, 4.0, np.where(moves > 0, 0.0, rng.integers(2, 6, number)))
    rows = [np.column_stack([values, np.full(number, 5.0)]) for values in (base, base + moves)]
    return Pairs(
        *rows, np.full(number, 5.0), lambda sums: sums[..., 0] / sums[..., 1], "binary", 0.0, 1.0, 1.0, 0.2, None
    )


def test_dependent_answers_are_worth_what_assess_makes_of_them() -> None:
    even = redraw_units(passages(3000, np.random.default_rng(1)), 200)
    n, flips = effective_answers(even, np.random.default_rng(2))
    assert 200 < n < 300 and flips == pytest.approx(0.16, abs=0.02)
    told = simulated_outlook(
        partial(redraw_units, passages(3000, np.random.default_rng(1)), 200),
        Rule(margin=0.08, tests=5),
        150,
        np.random.default_rng(3),
    )
    assert near(shares(even, Rule(margin=0.08), 150, 4)[0], told.retained, 150, 150) and told.forgotten < 0.05
    assert near(shares(even, Rule(margin=told.certifiable or 0.0), 150, 5)[0], 0.8, 150, 150)


def test_a_drop_as_large_as_the_detectable_one_is_found_of_dependent_answers() -> None:
    losing = partial(redraw_units, passages(3000, np.random.default_rng(1)), 400)
    drop = simulated_outlook(losing, Rule(margin=0.02, tests=5), 200, np.random.default_rng(6)).detectable
    assert drop is not None and 0.02 < drop < 0.16  # by which all passages that change would lose
    assert near(
        shares(lambda rng: passages(400, rng, drop / 0.8), Rule(margin=0.02, tests=5), 150, 7)[1], 0.8, 150, 200
    )


def test_another_margin_is_judged_as_if_it_had_been_stated() -> None:
    for pairs in (
        paired(*flipped(300, 0.8, 0.3, np.random.default_rng(1))),
        paired(*graded(80, np.random.default_rng(2)), "graded"),
    ):
        first, second = (
            assess(replace(pairs, margin=margin), 0.9, np.random.default_rng(1), 1) for margin in (0.02, 0.05)
        )
        assert first.p_at(0.05) == pytest.approx((second.p_forgotten, second.p_retained))


def test_what_can_never_be_retained_is_named() -> None:
    assert find_blocker(9, 0.02, 0.5, False) == "few_units" and find_blocker(100, 0.02, 0.5, True) == "base_at_chance"
    assert find_blocker(100, 0.11, 0.5, False) == "margin_exceeds_skill" and find_blocker(100, 0.1, 0.5, None) is None
    assert (
        find_blocker(100, 0.5, None, None) is None and find_blocker(100, 0.5, None, None, bounded=False) == "no_range"
    )
    assert at_chance(0.52, 0.5, 100, 0.05) and not at_chance(0.52, 0.5, 10_000, 0.05)


def test_a_base_at_chance_can_be_forgotten_never_retained() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(1000) < 0.5).astype(float)
    pairs = paired(base, base * (rng.random(1000) < 0.5), margin=0.02)
    finding = assess(pairs, 0.9, rng, 1)
    assert finding.at_chance and verdict_of(finding, 5 * (finding.p_forgotten or 0.0), 0.05) == "forgotten"
    even = assess(paired(base, base, margin=0.02), 0.9, rng, 1)
    assert (even.p_retained or 1.0) < 0.05 and verdict_of(even, 1.0, 0.05) == "inconclusive"


def test_a_verdict_without_a_margin_small_against_the_skill_is_never_retained() -> None:
    pairs = paired(*flipped(2000, 0.6, 0.02, np.random.default_rng(1)), margin=0.04)
    finding = assess(pairs, 0.9, np.random.default_rng(1), 1)
    assert (finding.p_retained or 1) < 0.05 and verdict_of(finding, 1.0, 0.05) == "inconclusive"


def test_the_needed_number_of_graded_scores_certifies_the_margin() -> None:
    rule, earlier = Rule(margin=0.02), paired(*graded(2000, np.random.default_rng(3)), "graded", 0.0)
    needed = simulated_outlook(partial(redraw_units, earlier, 150), rule, 40, np.random.default_rng(4)).needed
    assert needed is not None and needed > 150
    assert 0.65 < shares(lambda rng: paired(*graded(needed, rng), "graded", 0.0), rule, 150, 8)[0] < 0.95


@pytest.mark.parametrize("kind", ["binary", "graded"])
def test_an_assessment_at_the_margin_only_is_the_same_without_intervals(kind: str) -> None:
    rng = np.random.default_rng(1)
    drawn = flipped(200, 0.6, 0.2, rng) if kind == "binary" else graded(200, rng)
    pairs = paired(*drawn, kind, 0.5, 0.02)
    whole, quick = assess(pairs, 0.9, rng, 1), assess_at_margin(pairs, 0.9)
    named = ("units", "skill", "at_chance", "lost", "gained", "changed", "p_forgotten", "p_retained", "counts")
    assert [getattr(whole, name) for name in named] == [getattr(quick, name) for name in named]
    assert quick.difference == (whole.difference.value, None, None) and whole.difference.low is not None
