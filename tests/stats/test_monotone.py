"""The rising curve through points, against scikit-learn, and the coverage of its intervals on drawn data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from evalharness.stats.monotone import conformal_curve, monotone_curve

POINTS = st.lists(st.tuples(st.floats(0, 20), st.floats(-5, 5)), min_size=1, max_size=30)


@given(POINTS)
def test_the_curve_starts_at_zero_and_never_falls(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    curve = monotone_curve(x, y)
    values = curve.at(np.linspace(0, 30, 200))
    assert values[0] == 0 and (np.diff(values) >= -1e-12).all()
    assert values.max() <= max(0.0, y.max()) + 1e-9


@given(POINTS, st.integers(2, 4))
def test_points_that_are_there_several_times_move_nothing_where_all_are(
    points: list[tuple[float, float]], times: int
) -> None:
    x, y = np.array(points).T
    once, often = monotone_curve(x, y), monotone_curve(np.tile(x, times), np.tile(y, times))
    at = np.linspace(0, 25, 50)
    assert often.at(at) == pytest.approx(once.at(at), abs=1e-9)


@given(POINTS)
def test_levels_are_those_of_isotonic_regression(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    theirs = np.maximum(0, IsotonicRegression().fit(x, y).predict(x[x > 0])) if (x > 0).any() else np.zeros(0)
    known = monotone_curve(x, y).y
    assert all(np.abs(known - level).min() < 1e-6 for level in theirs)


@pytest.mark.parametrize("noise", ["normal", "standard_cauchy"])
def test_intervals_hold_a_new_value_as_often_as_they_say(noise: str) -> None:
    """Whatever the law of the noise: jackknife-minmax promises the level in every law, over draws of all points."""
    rng, held, draws = np.random.default_rng(5), 0, 300
    for _ in range(draws):
        x = rng.uniform(0, 10, 25)
        y = np.sqrt(x) + 0.3 * getattr(rng, noise)(size=25)
        low, high = conformal_curve(x[:-1], y[:-1], range(24)).interval(float(x[-1]), 0.9) or (math.inf, -math.inf)
        held += low <= y[-1] <= high
    assert held / draws >= 0.9 - 2 * math.sqrt(0.9 * 0.1 / draws)


def test_a_new_recipe_is_held_where_the_points_of_a_recipe_go_together() -> None:
    """Three points share their recipe's own deviation: left out one by one they would promise too much."""
    rng, held, draws = np.random.default_rng(6), 0, 300
    for _ in range(draws):
        places = np.repeat(rng.uniform(0, 10, 13), 3)
        values = np.sqrt(places) + np.repeat(rng.normal(size=13), 3) + 0.05 * rng.normal(size=39)
        folds = np.repeat(np.arange(13), 3)
        fitted = conformal_curve(places[:-3], values[:-3], folds[:-3].tolist())
        low, high = fitted.interval(float(places[-1]), 0.9) or (math.inf, -math.inf)
        held += low <= values[-1] <= high
    assert held / draws >= 0.9 - 2 * math.sqrt(0.9 * 0.1 / draws)


def test_too_few_points_have_no_interval() -> None:
    x = np.arange(1.0, 10.0)
    assert conformal_curve(x, x, range(9)).interval(3.0, 0.9) is not None
    assert conformal_curve(x[:8], x[:8], range(8)).interval(3.0, 0.9) is None  # the ninth rank of eight
    alone = conformal_curve(x, x, ["one"] * 9)
    assert alone.interval(3.0, 0.9) is None and alone.error == math.inf and alone.curve.at(np.array([3.0]))[0] == 3
