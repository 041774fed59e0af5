"""Planned odds against the sum over every table; projected sample sizes: the rule itself must decide there, and not one
unit earlier.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multinomial

from evalharness.stats.power import (
    MOST,
    certifiable_margin,
    detectable_drop,
    examples_needed,
    needed_by_counts,
    needed_by_scaling,
    odds,
    smallest,
)
from evalharness.stats.verdict import p_at_margin


def test_smallest_is_the_first_that_decides():
    for threshold in (10, 11, 57, 4096, MOST):
        assert smallest(lambda size, threshold=threshold: size >= threshold, 10) == threshold
    assert smallest(lambda size: False, 10) is None


def test_no_change_at_all():
    needed = needed_by_counts(0, 0, 40, 40, 0.02, (0.05, 0.05))
    assert needed is not None and p_at_margin(0, 0, needed, 0.02)[1] <= 0.05 < p_at_margin(0, 0, needed - 1, 0.02)[1]


def test_many_changes_need_what_the_normal_formula_says():
    # With ψ = .1 and no difference, z = δ√(n/ψ): 1.645² · .1 / .02² = 676.
    assert needed_by_counts(30, 30, 600, 600, 0.02, (0.05, 0.05)) == pytest.approx(676, rel=0.05)


def test_a_clear_loss_is_projected_to_forgotten():
    needed = needed_by_counts(2, 8, 100, 100, 0.02, (0.01, 0.05))
    assert needed is not None and 100 < needed < 1000
    assert needed_by_counts(2, 8, 100, 100, 0.02, (0.0, 0.05)) is None


def test_a_difference_on_the_margin_has_no_answer():
    assert needed_by_counts(20, 30, 500, 500, 0.02, (0.05, 0.05)) is None
    assert needed_by_scaling((0.5, 0.5), 500, 400, 200, 1.0, 0.02, (0.05, 0.05)) is None


def test_no_units_have_no_answer():
    assert needed_by_counts(0, 0, 0, 0, 0.02, (0.05, 0.05)) is None
    assert needed_by_scaling((1.0, 1.0), 0, 0, 0, 0.0, 0.02, (0.05, 0.05)) is None


def test_resampled_statistics_grow_with_the_root_of_n():
    # z = .8416 now, 1.6449 wanted: (1.6449 / .8416)² times as many units.
    assert needed_by_scaling((0.8, 0.2), 100, 90, 50, 1.0, 0.02, (0.05, 0.05)) == 382


def test_while_few_units_changed_the_guard_holds_too():
    assert needed_by_scaling((1.0, 1e-4), 40, 1, 1, 1.0, 0.02, (0.05, 0.05)) > 150


def test_fewer_than_ten_units_need_ten():
    assert needed_by_scaling((1.0, 1e-6), 5, 5, 0, 1.0, 0.5, (0.05, 0.05)) == 10


@pytest.mark.parametrize(
    "n,flips,drop,margin",
    [(30, 0.3, 0.1, 0.05), (60, 0.1, 0.0, 0.1), (60, 0.1, 0.1, 0.02), (45, 1.0, -0.2, 0.02), (70, 0.9, 0.3, 0.1)],
)
def test_odds_are_the_sum_over_all_tables(n: int, flips: float, drop: float, margin: float):
    """Every table of gained and lost with its multinomial probability (scipy), judged by the rule."""
    expected = [0.0, 0.0]
    for changes in range(n + 1):
        for lost in range(changes + 1):
            table = multinomial.pmf(
                [changes - lost, lost, n - changes], n, [(flips - drop) / 2, (flips + drop) / 2, 1 - flips]
            )
            if table > 1e-9:
                expected = [
                    so_far + table * (p <= 0.05)
                    for so_far, p in zip(expected, p_at_margin(changes - lost, lost, n, margin), strict=True)
                ]
    found = odds(n, flips, drop, margin, (0.05, 0.05))
    assert found[:2] == pytest.approx(expected, abs=1e-5) and sum(found) == pytest.approx(1)


def test_odds_are_what_is_seen():
    rng = np.random.default_rng(0)
    said = [
        p_at_margin(*drawn[:2], 300, 0.02)[0] <= 0.01 for drawn in rng.multinomial(300, [0.04, 0.12, 0.84], size=2000)
    ]
    assert odds(300, 0.16, 0.08, 0.02, (0.01, 0.05)).forgotten == pytest.approx(np.mean(said), abs=0.03)


def test_wrong_verdicts_are_rare_and_few_units_decide_nothing():
    at_margin = odds(400, 0.1, 0.02, 0.02, (0.05, 0.05))
    assert at_margin.forgotten <= 0.05 and at_margin.retained <= 0.05
    assert odds(9, 0.5, 0.5, 0.02, (0.05, 0.05)) == (0.0, 0.0, 1.0)
    assert odds(400, 0.1, 0.1, 0.02, (0.0, 0.0)) == (0.0, 0.0, 1.0)
    assert odds(400, 0.0, 0.0, 0.02, (0.05, 0.05)) == (
        0.0,
        1.0,
        0.0,
    )  # not one answer changes, and 400 are enough to say so


def test_the_smallest_margin_and_drop():
    margin = certifiable_margin(500, 0.1)
    assert margin == pytest.approx(0.0359, abs=0.0005)  # the normal formula says .0352
    assert (
        odds(500, 0.1, 0.0, margin, (0.0, 0.05)).retained
        >= 0.8
        > odds(500, 0.1, 0.0, 0.97 * margin, (0.0, 0.05)).retained
    )
    drop = detectable_drop(500, 0.1, 0.02, alpha=0.05 / 15)
    assert drop is not None and odds(500, 0.1, drop, 0.02, (0.05 / 15, 0.0)).forgotten >= 0.8
    assert odds(500, 0.1, 0.97 * drop, 0.02, (0.05 / 15, 0.0)).forgotten < 0.8
    assert detectable_drop(9, 0.1, 0.02) is None


def test_examples_that_are_needed():
    found = examples_needed(0.1, 0.0, 0.02)
    assert found is not None and odds(found, 0.1, 0.0, 0.02, (0.0, 0.05)).retained >= 0.8
    assert found == pytest.approx(1546, rel=0.03)  # (1.645 + .842)² · .1 / .02²
    few = examples_needed(0.02, 0.0, 0.02)
    assert few is not None and few > 1.2 * 310  # where few answers change the normal formula promises too much
    lost = examples_needed(0.15, 0.1, 0.02)
    assert lost is not None and odds(lost, 0.15, 0.1, 0.02, (0.05, 0.0)).forgotten >= 0.8
    assert examples_needed(0.1, 0.02, 0.02) is None and examples_needed(0.5, 0.0, 0.001) is None
