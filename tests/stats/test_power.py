"""Planned odds against the sum over every table; smallest margins, drops and numbers of examples against the odds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multinomial

from evalharness.stats.power import MOST, certifiable_margin, detectable_drop, examples_needed, odds, smallest_count
from evalharness.stats.verdict import p_at_margin


def test_smallest_is_the_first_that_decides():
    for threshold in (10, 11, 57, 4096, MOST):
        assert smallest_count(lambda size, threshold=threshold: size >= threshold, 10) == threshold
    assert smallest_count(lambda size: False, 10) is None


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
