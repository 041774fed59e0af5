"""Gaffke's p-values against his definition, closed forms and properties."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc
from slow_cases import first_of_each

from evalharness.stats.gaffke import WeightedMean, below_zero, pool_means
from evalharness.stats.resample import Floats

DRAWS = 200_000


def mean_of(values: Floats, sizes: Floats | None = None, low: float = -1.0, high: float = 1.0) -> WeightedMean:
    """The mean of values in [low, high] per unit, or per row where units have so many rows."""
    sizes = np.ones(len(values)) if sizes is None else sizes
    shares = sizes / sizes.sum()
    estimate, share = float(shares @ values), float(shares.max())
    return WeightedMean.from_units(estimate, shares * (values - estimate), shares, (low * share, high * share))


def gaffke(values: Floats, worst: float, value: float, weights: Floats) -> float:
    """N. Gaffke (2005), Preprint 1304: P(Σ Dᵢ zᵢ ≤ value), D uniform on the simplex, z the values and the worst."""
    return float((weights @ np.append(values, worst) <= value).mean())


def at_most(shares: Floats, counts: Floats, rng: np.random.Generator) -> float:
    """below_zero by draws of gammas."""
    return float((rng.standard_gamma(counts, (DRAWS, len(counts))) @ shares <= 0).mean())


def hypoexponential(scales: Floats) -> Fraction:
    """P(Σ sᵢ Eᵢ ≤ 0), all scales different: the partial fractions of Π 1 / (1 + sᵢ t), without rounding."""
    exact = [Fraction(float(scale)) for scale in scales]
    total = Fraction(0)
    for i, one in enumerate(exact):
        if one < 0:
            term = Fraction(1)
            for j, other in enumerate(exact):
                term *= one / (one - other) if j != i else 1
            total += term
    return total


def by_mpmath(scales: Floats, counts: Floats) -> float:
    """P(Σ sᵢ Gᵢ ≤ 0) by Gil-Pelaez's inversion along a straight line before the first pole, by mpmath's quadrature."""
    mean = float(scales @ counts)
    scales = (scales if mean >= 0 else -scales) / np.abs(scales).max()
    if scales.min() >= 0:
        return float(mean < 0)
    line = -0.5 / float(scales.min())
    pairs = [(mpmath.mpf(float(s)), mpmath.mpf(float(c))) for s, c in zip(scales, counts, strict=True)]

    def integrand(y: mpmath.mpf) -> mpmath.mpf:
        z = mpmath.mpc(line, y)
        return (mpmath.exp(-mpmath.fsum(c * mpmath.log(1 + s * z) for s, c in pairs)) / z).real

    ends = [0, *(line * 2.0**power for power in range(-4, 14)), mpmath.inf]
    tail = float(mpmath.quad(integrand, ends) / mpmath.pi)
    return 1 - tail if mean < 0 else tail


@pytest.mark.parametrize("end", [1.0, pytest.param(2.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("lost", "gained"), first_of_each([(0, 3), (4, 1), (1, 3), (1, 1)], lambda lost, gained: lost > gained)
)
@pytest.mark.parametrize("n", [50, 3000])
def test_a_few_answers_that_changed_among_many_that_did_not(n: int, lost: int, gained: int, end: float) -> None:
    """Near the estimate the path once bent to where the integrand grows, and p of 0.8 came out as 0."""
    values = np.zeros(n)
    values[:lost], values[lost : lost + gained] = -1, 1
    mean = mean_of(values, low=-end, high=end)
    for by in (-1, -0.3, 0, 0.1, 2):
        value = mean.estimate + by / n
        seen, unseen = mean.moves + (mean.estimate - value) * mean.shares, mean.lowest - value * mean.largest
        expected = by_mpmath(np.append(seen, unseen), np.append(mean.counts, 1.0))
        assert mean.p_at_most(value) == pytest.approx(expected, rel=1e-4, abs=1e-8)
    low, high = mean.interval(0.9)
    assert low < mean.estimate < high


@pytest.mark.parametrize("n", [10, 50, 100, 500, 10_000])
def test_what_nothing_seen_to_change_may_have_missed(n: int) -> None:
    """One unseen unit may have lost all: its weight is above δ with probability (1 − δ)ⁿ."""
    same = mean_of(np.zeros(n))
    for margin in (1e-4, 0.001, 0.005, 0.02, 0.1):
        expected = (1 - margin) ** n
        assert same.p_at_most(-margin) == pytest.approx(expected, rel=1e-6, abs=1e-10)
        assert same.p_at_least(margin) == pytest.approx(expected, rel=1e-6, abs=1e-10)
    end = 1 - 0.05 ** (1 / n)
    assert same.interval(0.9) == pytest.approx((-end, end), rel=1e-5)


@pytest.mark.parametrize("ratio", [1e-5, 1e-3, 0.04, 0.7, 1.0, 30.0, 4e3])
@pytest.mark.parametrize("counts", [(1, 1), (2, 90), (90, 2), (500, 1), (10_000, 1), (1, 10_000), (10, 10_000), (7, 2)])
def test_two_values_are_a_beta_distribution(counts: tuple[float, float], ratio: float) -> None:
    """A / (A + B) ~ Beta(a, b) for gammas A and B, so P(A ≤ ratio B) is scipy's betainc."""
    expected = float(betainc(*counts, ratio / (1 + ratio)))
    found = below_zero(np.array([1.0, -ratio]), np.array(counts, dtype=float))
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-10)


@pytest.mark.parametrize("seed", range(24))
def test_different_values_are_partial_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = rng.exponential(size=int(rng.integers(2, 50))) * 10.0 ** rng.uniform(-3, 0)
    if seed % 3 == 0:  # one loss, one gain, or half of either, large against the rest
        scales[0] = -scales.sum() * rng.uniform(0.05, 1)
    elif seed % 3 == 1:
        scales[1:] *= -1
        scales[0] = -scales.sum() * rng.uniform(0.3, 3)
    else:
        scales[: (len(scales) + 1) // 2] *= -1
    expected = float(hypoexponential(scales))
    assert below_zero(scales, np.ones(len(scales))) == pytest.approx(expected, rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_gammas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales, counts = rng.normal(0.1, 1, 8), rng.uniform(0.5, 6, 8)
    assert below_zero(scales, counts) == pytest.approx(at_most(scales, counts, rng), abs=5e-3)


def test_an_error_rate_below_all_rounding_has_no_ends() -> None:
    assert mean_of(np.array([0.0, 1.0, -1.0])).interval(1.0) == (-np.inf, np.inf)


def test_ends() -> None:
    one = np.ones(2)
    assert below_zero(np.array([1.0, 2.0]), one) == 0 and below_zero(np.array([-1.0, -2.0]), one) == 1
    assert below_zero(np.zeros(2), one) == 1 and below_zero(np.zeros(0), one[:0]) == 1
    assert below_zero(np.array([1e-300, -1e-300]), one) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["jitter", "rare losses", "rare gains", "uneven"])
def test_it_is_gaffkes_definition(kind: str) -> None:
    """Uneven units: unit i weighs its size, and the unseen one as much as the largest."""
    rng = np.random.default_rng(1)
    values = rng.normal(-0.01, 0.02, 40)
    values[:2] -= 0.4 * (kind == "rare losses") - 0.4 * (kind == "rare gains")
    sizes = rng.integers(1, 7, 40).astype(float) if kind == "uneven" else np.ones(40)
    weighted = rng.standard_exponential((DRAWS, 41)) * np.append(sizes, sizes.max())
    weights = weighted / weighted.sum(axis=1, keepdims=True)
    mean = mean_of(values, sizes)
    for value in (-0.06, -0.03, -0.01, 0.02):
        assert mean.p_at_most(value) == pytest.approx(gaffke(values, -1.0, value, weights), abs=4e-3)
        assert mean.p_at_least(value) == pytest.approx(gaffke(-values, -1.0, -value, weights), abs=4e-3)


SHORT = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=25)


@settings(max_examples=60)
@given(SHORT, st.floats(0.55, 0.999))
def test_interval_ends_invert_the_p_values(values: list[float], level: float) -> None:
    mean = mean_of(np.array(values))
    low, high = mean.interval(level)
    assert low <= mean.estimate <= high and low >= -1 and high <= 1
    tail = (1 - level) / 2
    assert low == pytest.approx(-1) or mean.p_at_most(low) == pytest.approx(tail, rel=1e-3)
    assert high == pytest.approx(1) or mean.p_at_least(high) == pytest.approx(tail, rel=1e-3)


@settings(max_examples=60)
@given(SHORT, st.floats(-0.99, 0.99))
def test_what_moves_a_p_value_and_what_does_not(values: list[float], value: float) -> None:
    seen = np.array(values)
    mean, negated = mean_of(seen), mean_of(-seen)
    p = mean.p_at_most(value)
    assert 0 <= p <= 1
    assert negated.p_at_least(-value) == pytest.approx(p, abs=1e-9)
    assert mean_of(seen[::-1].copy()).p_at_most(value) == pytest.approx(p, abs=1e-9)
    assert mean_of(100 * seen, low=-100.0, high=100.0).p_at_most(100 * value) == pytest.approx(p, abs=1e-9)
    assert mean.scaled(100).p_at_most(100 * value) == pytest.approx(p, abs=1e-9)
    assert mean_of(seen, low=-2.0).p_at_most(value) >= p - 1e-9  # the worse the worst, the less is sure
    assert mean.p_at_most(value + 0.01) >= p - 1e-9  # monotone in the value
    better = seen.copy()
    better[0] = 1.0
    assert mean_of(better).p_at_most(value) <= p + 1e-9  # and in every unit


@settings(max_examples=30)
@given(SHORT, st.integers(2, 6))
def test_so_many_times_as_many_units_are_each_repeated(values: list[float], times: int) -> None:
    mean, repeated = mean_of(np.array(values)).scaled(1, units=times), mean_of(np.repeat(values, times))
    assert mean.variance == pytest.approx(repeated.variance, abs=1e-12)
    for value in (-0.3, mean.estimate - 0.05, 0.2):
        assert mean.p_at_most(value) == pytest.approx(repeated.p_at_most(value), abs=1e-8)
        assert mean.p_at_least(value) == pytest.approx(repeated.p_at_least(value), abs=1e-8)


def test_another_estimate_moves_every_unit_and_the_range_with_it() -> None:
    values = np.random.default_rng(3).normal(0, 0.1, 30)
    moved = mean_of(values).scaled(1.0, at=0.05)
    by_hand = mean_of(values - values.mean() + 0.05, low=-1 - values.mean() + 0.05, high=1 - values.mean() + 0.05)
    assert moved.p_at_most(-0.02) == pytest.approx(by_hand.p_at_most(-0.02))
    assert moved.interval(0.9) == pytest.approx(by_hand.interval(0.9))


def test_ten_thousand_values_that_all_differ() -> None:
    """Where no single unit matters, the weighted mean is as good as normal with the jackknife's variance."""
    values = np.random.default_rng(4).normal(-0.012, 0.3, 10_000)
    mean = mean_of(values, low=-0.5, high=0.5)
    error = values.std(ddof=1) / 100
    low, high = mean.interval(0.9)
    assert (low, high) == pytest.approx(values.mean() + error * np.array([-1.645, 1.645]), abs=0.05 * error)
    p_values = [mean.p_at_most(values.mean() + z * error) for z in (-8, -3, -1, 0, 1, 3, 8)]
    assert p_values == pytest.approx([0, 0.00135, 0.1587, 0.5, 0.8413, 0.99865, 1], abs=0.01)
    assert np.isfinite(p_values).all() and p_values == sorted(p_values)


def test_nothing_that_varies_has_no_width_where_the_largest_seen_is_the_worst() -> None:
    same = WeightedMean.from_unbounded(0.3, np.zeros(4), np.full(4, 0.25))
    assert same.interval(0.9) == (0.3, 0.3) and same.variance == 0


def test_pooled_is_the_plain_mean_with_one_unseen_unit() -> None:
    """Against draws: the weights of all units of all parts from one Dirichlet, scaled to each part's share."""
    rng = np.random.default_rng(5)
    parts = [rng.normal(0.0, 0.1, n) for n in (30, 60)]
    mean = pool_means([mean_of(part) for part in parts])
    assert mean.estimate == pytest.approx(np.mean([part.mean() for part in parts]))
    shares = np.concatenate([np.full(len(part), 1 / (2 * len(part))) for part in parts])
    drawn = rng.standard_exponential((DRAWS, 91))
    moves = np.concatenate([part - part.mean() for part in parts])
    for value in (-0.05, -0.02, 0.01):
        terms = np.append(shares * (moves + mean.estimate - value), mean.lowest - value * mean.largest)
        assert mean.p_at_most(value) == pytest.approx((drawn @ terms <= 0).mean(), abs=4e-3)
    worst = min(-(1 + part.mean()) / (2 * len(part)) for part in parts)  # the small part's unit may move it most
    assert mean.lowest == pytest.approx(worst + mean.estimate / 60) and mean.largest == pytest.approx(1 / 60)
    with pytest.raises(ValueError, match="nothing to pool"):
        pool_means([])


def test_equal_values_vary_by_nothing_though_their_mean_is_rounded() -> None:
    """Ninety equal values whose mean is off by a bit: their interval is the value, as far as more like them go."""
    value = 0.11920292202211695
    mean = WeightedMean.from_unbounded(value, np.full(90, 1.5e-33), np.full(90, 1 / 90))
    assert mean.interval(0.9) == (value, value)
    all_lost = WeightedMean.from_units(-1.0, np.full(30, 1e-19), np.full(30, 1 / 30), (-1 / 30, 1 / 30))
    assert all_lost.interval(0.9)[0] == pytest.approx(-1.0) and all_lost.p_at_most(-1.0) == 1.0
