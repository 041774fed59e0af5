"""Wilson's interval against statsmodels, the design effect against known dependence."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri, stdtrit
from statsmodels.stats.proportion import proportion_confint

from evalharness.stats.proportion import design_effect, few_units, whole_units, wilson


@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.5, 0.99))
def test_wilson_is_statsmodels(n: int, share: float, level: float):
    right = round(share * n)
    assert wilson(right, n, level) == pytest.approx(
        proportion_confint(right, n, alpha=1 - level, method="wilson"), abs=1e-12
    )


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0, 0.9) == (0.0, 1.0)


def test_rows_that_move_together_count_as_one():
    right = np.random.default_rng(0).integers(0, 2, 200).astype(float)
    sizes = np.full(200, 5.0)
    share = right.mean()
    assert design_effect(5 * right, sizes, share * (1 - share)) == pytest.approx(5, rel=0.01)
    assert whole_units(sizes) == 5


def test_independent_rows_count_fully():
    each = np.random.default_rng(1).integers(0, 2, (4000, 5)).astype(float)
    assert design_effect(each.sum(axis=1), np.full(4000, 5.0), 0.25) == pytest.approx(1, abs=0.1)


def test_variance_is_the_cluster_robust_one():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 8, 60)
    unit = np.repeat(np.arange(60), sizes)
    values = ((rng.random(60)[unit] + rng.random(len(unit))) > 1).astype(float)
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    variance = values.mean() * (1 - values.mean())
    effect = design_effect(np.bincount(unit, values), sizes.astype(float), variance)
    assert effect * variance / len(values) * 59 / 60 == pytest.approx(fit.bse[0] ** 2, rel=1e-9)


def test_few_units_stand_for_students_t():
    for units in (20, 40, 200):
        wider = (stdtrit(units - 1, 0.95) / ndtri(0.95)) ** 2
        assert few_units(np.full(units, 5.0)) == pytest.approx(wider, abs=0.02)
    assert few_units(np.ones(7)) == 1.0 and few_units(np.zeros(0)) == 1.0
    assert few_units(np.array([30.0, 1, 1, 1])) == 3.0  # one unit that is nearly all there is


def test_nothing_to_estimate_from_is_taken_as_full_dependence():
    assert design_effect(np.zeros(10), np.full(10, 4.0), 0.0) == 4
    assert design_effect(np.ones(1), np.array([4.0]), 0.25) == 4
    assert design_effect(np.zeros(0), np.zeros(0), 0.25) == 1
