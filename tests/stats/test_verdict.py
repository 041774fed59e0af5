"""p-values to one of three verdicts, and what few changes cannot certify."""

from __future__ import annotations

import pytest

from evalharness.stats.exact import exact_p
from evalharness.stats.paired import tango_p
from evalharness.stats.verdict import decide, full_loss_p, p_at_margin


@pytest.mark.parametrize(
    "p_forgotten,p_retained,options,expected",
    [
        (0.01, 0.99, {}, "forgotten"),
        (0.99, 0.01, {}, "retained"),
        (0.5, 0.5, {}, "inconclusive"),
        (0.05, 0.95, {}, "forgotten"),
        (0.01, 0.99, {"units": 9}, "inconclusive"),
        (0.01, 0.99, {"at_chance": True}, "inconclusive"),
        (0.99, 0.01, {"can_retain": False}, "inconclusive"),
        (0.01, 0.99, {"can_retain": False}, "forgotten"),
    ],
)
def test_verdicts(p_forgotten: float, p_retained: float, options: dict, expected: str):
    assert (
        decide(p_forgotten, p_retained, 0.05, **{"units": 100, "can_retain": True, "at_chance": False, **options})
        == expected
    )


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


def test_every_decrease_as_a_full_loss():
    assert full_loss_p(2, 300, 1.0, 0.02) == exact_p(0, 2, 300, 0.02, "retained")
    assert full_loss_p(2, 300, 4.0, 0.02) > full_loss_p(2, 300, 1.0, 0.02)
    assert full_loss_p(0, 300, 0.0, 0.02) == 1.0
