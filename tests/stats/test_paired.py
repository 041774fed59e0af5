"""Tango's test and interval, McNemar: against published numbers, statsmodels, and their own symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from evalharness.stats.paired import mcnemar, tango_interval, tango_p, tango_statistic


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 400))
    gained = draw(st.integers(0, n))
    return gained, draw(st.integers(0, n - gained)), n


def test_interval_of_the_airway_data():
    # Tango's interval for b = 1, c = 7, n = 21 as printed by Fagerland, Lydersen and Laake (2014), Statistics in
    # Medicine 33:2850-2875.
    low, high = tango_interval(1, 7, 21, 0.95)
    assert (low, high) == (pytest.approx(-0.5172, abs=5e-5), pytest.approx(-0.0260, abs=5e-5))


def test_zero_changes_certify_two_points_from_133_answers():
    assert tango_p(0, 0, 132, 0.02)[1] > 0.05 > tango_p(0, 0, 133, 0.02)[1]


@given(counts())
def test_at_no_difference_it_is_mcnemars_statistic(case: tuple[int, int, int]):
    gained, lost, n = case
    expected = (
        statsmodels_mcnemar([[n - gained - lost, gained], [lost, 0]], exact=False, correction=False).statistic
        if gained + lost
        else 0.0
    )
    assert float(tango_statistic(gained, lost, n, 0.0)) ** 2 == pytest.approx(expected, abs=1e-9)


@given(counts(), st.floats(0.5, 0.999))
def test_swapping_the_models_mirrors_the_interval(case: tuple[int, int, int], level: float):
    gained, lost, n = case
    low, high = tango_interval(gained, lost, n, level)
    mirrored = tango_interval(lost, gained, n, level)
    assert (low, high) == (pytest.approx(-mirrored[1], abs=1e-7), pytest.approx(-mirrored[0], abs=1e-7))
    assert -1 <= low <= (gained - lost) / n + 1e-12 and (gained - lost) / n - 1e-12 <= high <= 1


@given(counts(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_is_easier_to_keep_and_harder_to_lose(case: tuple[int, int, int], one: float, other: float):
    narrow, wide = (tango_p(*case, margin) for margin in sorted((one, other)))
    assert wide[1] <= narrow[1] + 1e-9 and wide[0] >= narrow[0] - 1e-9
    assert all(0 <= p <= 1 for p in (*narrow, *wide))
    assert not (narrow[0] <= 0.05 and narrow[1] <= 0.05)


@given(counts(), st.floats(0.001, 0.2))
def test_the_interval_is_what_the_test_does_not_reject(case: tuple[int, int, int], margin: float):
    low, high = tango_interval(*case, 0.9)
    forgotten, retained = tango_p(*case, margin)
    assert (high < -margin - 1e-9) <= (forgotten <= 0.05 + 1e-9) and (low > -margin + 1e-9) <= (retained <= 0.05 + 1e-9)
    assert (high > -margin + 1e-9) <= (forgotten >= 0.05 - 1e-9) and (low < -margin - 1e-9) <= (retained >= 0.05 - 1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_statsmodels_and_scipys(gained: int, lost: int):
    expected = binomtest(min(gained, lost), gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)
    if gained + lost:
        assert mcnemar(gained, lost) == pytest.approx(
            statsmodels_mcnemar([[5, gained], [lost, 5]], exact=True).pvalue, rel=1e-9
        )


@pytest.mark.parametrize(
    "case", [(0, 0, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 50, 50), (50, 0, 50), (0.3, 0.0, 2.5)]
)
def test_extremes_have_numbers(case: tuple[float, float, float]):
    numbers = [*tango_interval(*case, 0.9), *tango_p(*case, 0.02), *tango_p(*case, 0.0), *tango_p(*case, 1.0)]
    assert all(math.isfinite(number) for number in numbers)
    assert all(0 <= p <= 1 for p in numbers[2:])


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(0, 0, 50), (3, 9, 120), (0, 4, 30.5), (17.25, 2.5, 800), (400, 350, 15_000), (12, 0, 12)]
)
def test_the_ends_are_found_with_the_very_statistic(gained: float, lost: float, n: float):
    """Halving with the statistic of arrays comes to the same ends."""
    z, observed = float(ndtri(0.95)), (gained - lost) / n
    outer, inner, signs = np.array([-1.0, 1.0]), np.array([observed, observed]), np.array([1.0, -1.0])
    for _ in range(60):
        middle = (outer + inner) / 2
        rejected = signs * tango_statistic(gained, lost, n, middle) > z
        outer, inner = np.where(rejected, middle, outer), np.where(rejected, inner, middle)
    assert tango_interval(gained, lost, n, 0.9) == pytest.approx(tuple(inner), abs=1e-12)
