"""Resampling against scipy's bootstrap and permutation test, and of units of many rows against statsmodels'
cluster-robust error.
"""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from evalharness.stats.resample import (
    CELLS,
    EXACT_UNITS,
    Floats,
    acceleration,
    bootstrap,
    distinct_rows,
    influence,
    monte_carlo_p,
    resampled_sums,
    swap_p,
    swapped_differences,
)


def mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def gain(sums: Floats) -> Floats:
    """Difference of two means side by side."""
    return sums[..., 2] / sums[..., 3] - sums[..., 0] / sums[..., 1]


def rows(values: Floats) -> Floats:
    return np.column_stack([values, np.ones(len(values))])


def scipys_level(level: float, n: int) -> float:
    """The level whose plain normal quantile is our widened one."""
    z = stdtrit(n - 1, 0.5 + level / 2) * np.sqrt(n / (n - 1))
    return float(2 * ndtr(z) - 1)


@pytest.mark.parametrize("n", [15, 60, 300])
def test_bca_is_scipys(n: int):
    values = np.random.default_rng(n).exponential(size=n)
    ours = bootstrap(rows(values), mean, 40_000, np.random.default_rng(1)).bca_interval(0.9)
    theirs = scipy_stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=40_000,
        confidence_level=scipys_level(0.9, n),
        method="BCa",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05 * values.std() / np.sqrt(n) + 1e-9, rel=0)


def test_p_value_inverts_the_interval():
    values = np.random.default_rng(3).gamma(1.5, size=40) - 1
    found = bootstrap(rows(values), mean, 20_000, np.random.default_rng(4))
    for level in (0.8, 0.9, 0.99):
        low, high = found.interval(level)
        assert found.p_at_most(low) == pytest.approx((1 - level) / 2, rel=0.06)
        assert found.p_at_least(high) == pytest.approx((1 - level) / 2, rel=0.06)


def test_the_more_cautious_of_bca_and_t_decides():
    values = np.random.default_rng(14).exponential(size=25) ** 2 - 2
    found = bootstrap(rows(values), mean, 20_000, np.random.default_rng(4))
    plain = scipy_stats.ttest_1samp(values, 0)
    t_low, t_high = plain.confidence_interval(0.9)
    bca_low, bca_high = found.bca_interval(0.9)
    assert bca_low > t_low and bca_high > t_high  # skew to the right: BCa shifts the whole interval there
    assert found.interval(0.9) == pytest.approx((t_low, bca_high))
    assert found.p_at_most(-1.0) == pytest.approx(
        scipy_stats.ttest_1samp(values, -1.0, alternative="greater").pvalue, rel=1e-6
    )
    assert found.p_at_least(1.5) > scipy_stats.ttest_1samp(values, 1.5, alternative="less").pvalue


def test_widened_quantiles_are_student_ts():
    found = bootstrap(rows(np.random.default_rng(0).normal(size=12)), mean, 20_000, np.random.default_rng(5))
    low, high = found.interval(0.9)
    spread = found.replicates.std() * np.sqrt(12 / 11)
    assert (high - low) / 2 == pytest.approx(stdtrit(11, 0.95) * spread, rel=0.1)
    assert stdtr(11, stdtrit(11, 0.05)) == pytest.approx(0.05) and ndtri(0.05) > stdtrit(11, 0.05)


def test_counts_and_indices_draw_the_same_law():
    few = rows(np.random.default_rng(6).integers(0, 2, 400).astype(float))
    many = few + np.column_stack([np.arange(400) * 1e-9, np.zeros(400)])
    by_counts, by_indices = (mean(resampled_sums(each, 20_000, np.random.default_rng(7))) for each in (few, many))
    assert scipy_stats.ks_2samp(by_counts.round(4), by_indices.round(4)).statistic < 0.03
    assert by_counts.std() == pytest.approx(few[:, 0].std() / 20, rel=0.03)


def test_resampling_more_than_fits_at_once():
    n = CELLS // 3
    sums = resampled_sums(rows(np.random.default_rng(8).random(n)), 7, np.random.default_rng(9))
    assert sums.shape == (7, 2) and (sums[:, 1] == n).all() and len(set(sums[:, 0])) == 7


def test_influence_is_the_leave_one_out_mean():
    values = np.random.default_rng(10).random(30)
    left_out = np.array([np.delete(values, i).mean() for i in range(30)])
    assert influence(rows(values), mean) == pytest.approx((left_out.mean() - left_out) * 29 / 30)
    assert acceleration(np.zeros(5)) == 0.0


def test_errors_of_uneven_units_are_statsmodels_cluster_robust_ones():
    rng = np.random.default_rng(15)
    sizes = rng.integers(1, 8, 150)
    unit = np.repeat(np.arange(150), sizes)
    changes = rng.normal(0, 0.1, 150)[unit] + rng.normal(0, 0.1, len(unit))
    fit = sm.OLS(changes, np.ones(len(changes))).fit(cov_type="cluster", cov_kwds={"groups": unit})
    found = bootstrap(
        np.column_stack([np.bincount(unit, changes), sizes]).astype(float), mean, 20_000, np.random.default_rng(16)
    )
    assert found.estimate == pytest.approx(fit.params[0])
    assert found.spread == pytest.approx(fit.bse[0], rel=0.02) and found.replicates.std() == pytest.approx(
        fit.bse[0], rel=0.03
    )
    assert found.spread > 1.3 * changes.std() / np.sqrt(
        len(changes)
    )  # rows taken for independent would be surer than they are


def test_sign_flips_are_scipys_permutation_test():
    rng = np.random.default_rng(11)
    base, other = rng.random(9), rng.random(9)
    nulls = swapped_differences(rows(base), rows(other), mean, 20_000, rng)
    theirs = scipy_stats.permutation_test(
        (base, other), lambda x, y, axis: (y - x).mean(axis=axis), permutation_type="samples", vectorized=True
    )
    assert swap_p(rows(base), rows(other), mean, nulls) == pytest.approx(theirs.pvalue)
    assert monte_carlo_p(float((other - base).mean()), nulls) == pytest.approx(theirs.pvalue, abs=0.015)


def test_many_changes_are_sampled():
    rng = np.random.default_rng(12)
    base = rng.random(EXACT_UNITS + 30)
    other = base - 0.1 * rng.random(len(base))
    nulls = swapped_differences(rows(base), rows(other), mean, 999, rng)
    assert swap_p(rows(base), rows(other), mean, nulls) == pytest.approx(1 / 1000)
    assert swap_p(rows(base), rows(base), mean, np.zeros(10)) == 1.0


@pytest.mark.parametrize("values", [np.zeros(2), np.ones(50), np.array([0.0, 1.0])])
def test_degenerate_rows_have_numbers(values: Floats):
    found = bootstrap(rows(values), mean, 200, np.random.default_rng(0))
    numbers = [
        *found.interval(0.9),
        found.p_at_least(-0.02),
        found.p_at_most(-0.02),
        found.p_at_least(0.5),
        found.p_at_most(0.5),
    ]
    assert np.isfinite(numbers).all() and all(0 < p <= 1 for p in numbers[2:])


def test_equal_draws_from_equal_seeds():
    pair = np.hstack([rows(np.random.default_rng(1).random(60)), rows(np.random.default_rng(2).random(60))])
    one, two = (bootstrap(pair, gain, 300, np.random.default_rng(13)) for _ in range(2))
    assert (one.replicates == two.replicates).all()


@pytest.mark.parametrize("n", [49, 1000, 70_000])
def test_sums_do_not_depend_on_how_draws_are_tiled(n: int):
    """Bit for bit those of one draw of all weights that are held at once."""
    values, replicates = np.random.default_rng(n).random((n, 4)), 70
    rng, step = np.random.default_rng(5), max(1, CELLS // n)
    wanted = []
    for size in (min(step, replicates - start) for start in range(0, replicates, step)):
        drawn = rng.integers(0, n, size=(size, n))
        wanted.append(np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64) @ values)
    assert np.array_equal(resampled_sums(values, replicates, np.random.default_rng(5)), np.concatenate(wanted))


@pytest.mark.parametrize("levels", [1, 2, 5, 10_000])
def test_distinct_rows_are_numpys(levels: int):
    values = np.random.default_rng(levels).integers(-levels, levels, size=(400, 3)) / 7
    found, wanted = distinct_rows(values), np.unique(values, axis=0, return_counts=True)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
