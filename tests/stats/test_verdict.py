"""p-values to one of three verdicts, and who is suspect."""

from __future__ import annotations

import pytest

from evalharness.stats.exact import exact_p
from evalharness.stats.paired import tango_p
from evalharness.stats.verdict import decide, is_suspect, p_at_margin


@pytest.mark.parametrize(
    "p_forgotten,p_retained,options,expected",
    [
        (0.01, 0.99, {}, "forgotten"),
        (0.99, 0.01, {}, "retained"),
        (0.5, 0.5, {}, "inconclusive"),
        (0.05, 0.95, {}, "forgotten"),
        (0.01, 0.99, {"units": 9}, "inconclusive"),
        (0.01, 0.01, {"can_retain": False}, "forgotten"),
        (0.99, 0.01, {"can_retain": False}, "inconclusive"),
        (0.01, 0.99, {"can_retain": False}, "forgotten"),
    ],
)
def test_verdicts(p_forgotten: float, p_retained: float, options: dict, expected: str):
    assert decide(p_forgotten, p_retained, 0.05, **{"units": 100, "can_retain": True, **options}) == expected


def test_forty_changes_are_trusted_to_the_normal_approximation():
    assert p_at_margin(20, 20, 900, 0.02) == tango_p(20, 20, 900, 0.02)
    assert p_at_margin(20, 19, 900, 0.02) == (
        exact_p(20, 19, 900, 0.02, "forgotten"),
        exact_p(20, 19, 900, 0.02, "retained"),
    )


def test_fractions_are_rounded_against_the_claim():
    assert p_at_margin(1.5, 6.5, 80.9, 0.02) == (
        exact_p(2, 6, 80, 0.02, "forgotten"),
        exact_p(1, 7, 80, 0.02, "retained"),
    )
    assert all(0 <= p <= 1 for p in p_at_margin(0.4, 0.4, 0.5, 0.02))


@pytest.mark.parametrize(("units", "limit"), [(0, 0.05), (1, 0.05), (15, 0.05), (16, 0.75 / 16), (57, 0.75 / 57)])
def test_suspects_are_those_that_chance_makes_fewer_than_one_of(units: int, limit: float):
    """p ≤ min(α, .75 / m), before any adjustment: of m units at their margin, .75 on average."""
    assert is_suspect(limit, 0.05, units, 10) and not is_suspect(limit * 1.001, 0.05, units, 10)
    assert not is_suspect(limit, 0.05, units, 9)  # so few decide nothing
