"""The exact test at a margin against enumeration of every table, and how often verdicts err at the margin itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, multinomial

from evalharness.stats.exact import GAMMA, TAIL, Side, exact_p
from evalharness.stats.paired import tango_statistic
from evalharness.stats.verdict import p_at_margin


def as_telling(gained: int, lost: int, n: int, margin: float, side: Side) -> np.ndarray:
    """The tables (gained, lost, unchanged) of n answers that are at least as telling as this one, (tables, 3)."""
    tables = np.array([(b, c, n - b - c) for b in range(n + 1) for c in range(n + 1 - b)])
    statistic = tango_statistic(tables[:, 0], tables[:, 1], n, -margin)
    observed = float(tango_statistic(gained, lost, n, -margin))
    return tables[statistic >= observed - 1e-9] if side == "retained" else tables[statistic <= observed + 1e-9]


def enumerated(gained: int, lost: int, n: int, margin: float, side: Side) -> float:
    """The definition, slowly: P(tables as telling as this one) by scipy's multinomial, its largest over ψ in a
    Clopper-Pearson interval.
    """
    region = as_telling(gained, lost, n, margin, side)
    changes = gained + lost
    low = beta.ppf(GAMMA / 2, changes, n - changes + 1) if changes else 0.0
    high = beta.isf(GAMMA / 2, changes + 1, n - changes) if changes < n else 1.0
    largest = 0.0
    for psi in [*np.linspace(max(low, margin if side == "retained" else 1e-9), high, 400), min(max(low, margin), high)]:
        losing = min(psi, (psi + margin) / 2)
        largest = max(largest, float(multinomial.pmf(region, n, [psi - losing, losing, 1 - psi]).sum()))
    return min(1.0, largest + GAMMA)


@pytest.mark.parametrize("n", [11, 24])
@pytest.mark.parametrize("changes", [(0, 0), (0, 1), (1, 3), (2, 2), (0, 7), (4, 1), (0, 11)])
@pytest.mark.parametrize("side", ["forgotten", "retained"])
def test_equals_the_enumeration(n: int, changes: tuple[int, int], side: Side):
    for margin in (0.02, 0.1):
        assert exact_p(*changes, n, margin, side) == pytest.approx(enumerated(*changes, n, margin, side), abs=2e-4)


@pytest.mark.parametrize(("gained", "lost", "n"), [(6, 22, 210), (5, 34, 354)])
def test_no_p_is_below_the_probability_at_the_kink(gained: int, lost: int, n: int):
    """Where every change is a loss the largest probability may stand on a point of the first grid alone, which no finer
    grid holds again.
    """
    margin = 0.05
    at_kink = multinomial.pmf(as_telling(gained, lost, n, margin, "forgotten"), n, [0.0, margin, 1 - margin]).sum()
    assert exact_p(gained, lost, n, margin, "forgotten") >= at_kink - 1e-9


@pytest.mark.parametrize("n", [50, 100, 200])
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_verdicts_at_the_margin_err_rarely(n: int, rate: float):
    """True difference exactly −.02: P(forgotten) and P(retained), summed over all tables that matter, are both wrong
    verdicts.
    """
    margin, losing = 0.02, (rate + 0.02) / 2
    forgotten = retained = 0.0
    for changes in range(int(binom.isf(1e-6, n, rate)) + 1):
        weight = binom.pmf(changes, n, rate)
        said = [p_at_margin(changes - lost, lost, n, margin) for lost in range(changes + 1)]
        share = binom.pmf(np.arange(changes + 1), changes, losing / rate)
        forgotten += weight * share[[p[0] <= 0.05 for p in said]].sum()
        retained += weight * share[[p[1] <= 0.05 for p in said]].sum()
    assert forgotten <= 0.065 and retained <= 0.065
    assert max(forgotten, retained) > 0.01  # an honest test also speaks


@settings(max_examples=40)
@given(st.integers(1, 2000), st.integers(0, 25), st.integers(0, 14), st.floats(0, 0.3), st.floats(0, 0.3))
def test_p_values_are_p_values(n: int, lost: int, gained: int, one: float, other: float):
    lost = min(lost, n)
    gained = min(gained, n - lost)
    narrow, wide = (
        [exact_p(gained, lost, n, margin, side) for side in ("forgotten", "retained")]
        for margin in sorted((one, other))
    )
    assert all(0 < p <= 1 for p in (*narrow, *wide))
    assert not (narrow[0] <= 0.05 and narrow[1] <= 0.05)


@settings(max_examples=30)
@given(st.integers(40, 500), st.integers(0, 20), st.integers(0, 10))
def test_one_more_loss_makes_retained_less_and_forgotten_more_likely(n: int, lost: int, gained: int):
    lost, gained = min(lost, n // 2), min(gained, n // 4)
    for side, sign in (("forgotten", 1), ("retained", -1)):
        fewer, more = exact_p(gained, lost, n, 0.02, side), exact_p(gained, lost + 1, n, 0.02, side)
        if (
            min(fewer, more) <= 0.2
        ):  # far from a decision, a confidence set for ψ that moves with the data may turn the order by a little
            assert sign * (fewer - more) >= -2e-3


def test_many_answers_with_few_changes():
    assert exact_p(10, 29, 20_000, 0.02, "retained") == pytest.approx(GAMMA, abs=TAIL)
    assert exact_p(10, 29, 20_000, 0.02, "forgotten") == pytest.approx(1.0)
    assert exact_p(0, 39, 20_000, 0.0, "forgotten") < 1e-5


@pytest.mark.parametrize(
    "case", [(0, 0, 0, 0.02), (0, 0, 1, 0.02), (1, 0, 1, 0.02), (0, 1, 1, 0.0), (0, 39, 39, 1.0), (0, 5, 9, 3)]
)
def test_extremes_have_numbers(case: tuple[int, int, int, float]):
    for side in ("forgotten", "retained"):
        assert 0 <= exact_p(*case, side) <= 1


@pytest.mark.parametrize("side", ["forgotten", "retained"])
def test_what_is_enough_changes_no_decision(side: Side):
    rng = np.random.default_rng(4)
    above = 0
    for n in (40, 300, 2000):
        for changes in rng.integers(0, 39, size=12):
            lost = int(rng.integers(0, changes + 1))
            whole, short = (exact_p(int(changes) - lost, lost, n, 0.02, side, enough) for enough in (1.0, 0.05))
            assert short == whole if whole <= 0.05 else whole >= short > 0.05
            above += whole > 0.05
    assert 5 < above < 36
