"""Swapped rows against scipy's permutation test; influences against means without each unit, and, of units of many
rows, against statsmodels' cluster-robust error.
"""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats

from evalharness.stats.gaffke import WeightedMean
from evalharness.stats.resample import (
    EXACT_UNITS,
    Floats,
    distinct_rows,
    influence,
    monte_carlo_p,
    swap_p,
    swapped_differences,
)


def mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def rows(values: Floats) -> Floats:
    return np.column_stack([values, np.ones(len(values))])


def test_influence_is_the_leave_one_out_mean():
    values = np.random.default_rng(10).random(30)
    left_out = np.array([np.delete(values, i).mean() for i in range(30)])
    assert influence(rows(values), mean) == pytest.approx((left_out.mean() - left_out) * 29 / 30)


def test_errors_of_uneven_units_are_statsmodels_cluster_robust_ones():
    rng = np.random.default_rng(15)
    sizes = rng.integers(1, 8, 150)
    unit = np.repeat(np.arange(150), sizes)
    changes = rng.normal(0, 0.1, 150)[unit] + rng.normal(0, 0.1, len(unit))
    fit = sm.OLS(changes, np.ones(len(changes))).fit(cov_type="cluster", cov_kwds={"groups": unit})
    each = np.column_stack([np.bincount(unit, changes), sizes]).astype(float)
    moves, shares = influence(each, mean), each[:, 1] / each[:, 1].sum()
    by_shares = each[:, 0] / each[:, 1].sum() - changes.mean() * shares
    for of in (moves, by_shares):  # the jackknife's, and those that are exact for a mean
        found = WeightedMean.from_unbounded(float(changes.mean()), of - of.mean(), shares)
        assert found.estimate == pytest.approx(fit.params[0])
        assert np.sqrt(found.variance) == pytest.approx(fit.bse[0], rel=0.02)
        assert np.sqrt(found.variance) > 1.3 * changes.std() / np.sqrt(len(changes))  # as rows that are independent


def test_sign_flips_are_scipys_permutation_test():
    rng = np.random.default_rng(11)
    base, other = rng.random(9), rng.random(9)
    nulls = swapped_differences(rows(base), rows(other), mean, 20_000, rng)
    theirs = scipy_stats.permutation_test(
        (base, other), lambda x, y, axis: (y - x).mean(axis=axis), permutation_type="samples", vectorized=True
    )
    assert swap_p(rows(base), rows(other), mean, 0, rng) == pytest.approx(theirs.pvalue)
    assert monte_carlo_p(float((other - base).mean()), nulls) == pytest.approx(theirs.pvalue, abs=0.015)


def test_many_changes_are_sampled():
    rng = np.random.default_rng(12)
    base = rng.random(EXACT_UNITS + 30)
    other = base - 0.1 * rng.random(len(base))
    assert swap_p(rows(base), rows(other), mean, 999, rng) == pytest.approx(1 / 1000)
    assert swap_p(rows(base), rows(base), mean, 10, rng) == 1.0


def test_equal_swaps_from_equal_seeds():
    base, other = rows(np.random.default_rng(1).random(60)), rows(np.random.default_rng(2).random(60))
    one, two = (swapped_differences(base, other, mean, 300, np.random.default_rng(13)) for _ in range(2))
    assert (one == two).all()


@pytest.mark.parametrize("levels", [1, 2, 5, 10_000])
def test_distinct_rows_are_numpys(levels: int):
    values = np.random.default_rng(levels).integers(-levels, levels, size=(400, 3)) / 7
    found, wanted = distinct_rows(values), np.unique(values, axis=0, return_counts=True)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
