"""Gate units to the suite: weights, what few changes cannot certify, an empty suite."""

from __future__ import annotations

import numpy as np
import pytest

from evalharness.stats.assess import Finding, assess
from evalharness.stats.pairs import Pairs
from evalharness.stats.resample import Effort, Floats
from evalharness.stats.suite import at_margin, combine, mean_difference, weights


def mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def unit(n: int, accuracy: float, lost: int, gained: int, chance: float = 0.25) -> Finding:
    base = np.zeros(n)
    base[: round(n * accuracy)] = 1
    other = base.copy()
    other[:lost], other[n - gained :] = 0, 1
    rows = [np.column_stack([values, np.ones(n)]) for values in (base, other)]
    found = Pairs(rows[0], rows[1], np.ones(n), mean, "binary", 0.0, 1.0, 1.0, chance, 0.02)
    return assess(found, 0.9, lambda purpose: np.random.default_rng(n + len(purpose)))


def combined(findings: list[Finding]) -> Finding:
    return combine(findings, 0.02, 0.9, np.random.default_rng(1))


def test_it_is_the_mean_of_differences_in_skill():
    found = combined([unit(200, 0.75, 30, 0), unit(400, 0.45, 10, 20)])
    assert found.difference.value == pytest.approx(((-30 / 200) / 0.5 + (10 / 400) / 0.2) / 2)
    assert found.candidate.value == pytest.approx(1 + found.difference.value) and found.base.value == 1
    assert (found.units, found.lost, found.gained) == (600, 40, 20)


def test_its_interval_is_that_of_independent_strata():
    findings = [unit(400, 0.7, 20, 15), unit(300, 0.6, 12, 18), unit(500, 0.8, 30, 20)]
    found = combined(findings)
    widths = [(f.bootstrap.replicates.std() / f.skill / 3) ** 2 for f in findings if f.bootstrap is not None]
    assert found.difference.low is not None and found.difference.high is not None
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(1.645 * np.sqrt(sum(widths)), rel=0.03)


def test_a_lost_suite_and_a_kept_one():
    lost, kept = (
        combined([unit(300, 0.7, 60, 5) for _ in range(4)]),
        combined([unit(2000, 0.8, 20, 25) for _ in range(4)]),
    )
    assert lost.p_forgotten is not None and lost.p_forgotten < 0.01
    assert kept.p_retained is not None and kept.p_retained < 0.05 and not kept.few_changes


def test_nothing_changed_in_too_few_examples_is_no_proof():
    few, many = combined([unit(20, 0.75, 0, 0) for _ in range(3)]), combined([unit(500, 0.75, 0, 0) for _ in range(3)])
    assert few.p_retained is not None and few.p_retained > 0.05 and few.few_changes
    assert many.p_retained is not None and many.p_retained <= 0.05
    tiny_among_large = combined([unit(500, 0.75, 0, 0), unit(500, 0.75, 0, 0), unit(12, 0.75, 0, 0)])
    assert (
        tiny_among_large.p_retained is not None and tiny_among_large.p_retained > 0.05
    )  # all of the loss may hide in the small one


def test_ways_of_weighing():
    findings = [unit(200, 0.75, 30, 0), unit(400, 0.45, 10, 20)]
    assert weights(findings) == pytest.approx([1 / (2 * 0.5), 1 / (2 * 0.2)])
    by_skill, by_answers = (combine(findings, 0.02, 0.9, np.random.default_rng(1), by) for by in ("skill", "answers"))
    assert by_skill.difference.value == pytest.approx((-30 / 200 + 10 / 400) / (0.5 + 0.2))
    assert by_answers.difference.value == pytest.approx((-30 + 10) / (200 * 0.5 + 400 * 0.2))
    for by in ("units", "skill", "answers"):  # losing all skill everywhere is −1 by each
        assert float(weights(findings, by) @ [-0.5, -0.2]) == pytest.approx(-1)


def test_a_unit_that_weighs_much_and_changed_little_does_not_certify():
    large = [unit(5000, 0.75, 25, 25) for _ in range(3)]
    assert combined(large).p_retained < 0.001 < 0.05 < combined([*large, unit(40, 0.75, 0, 0)]).p_retained


def test_the_bases_luck_is_corrected_for():
    """A base that is the candidate drawn again: its skill is overstated where it was lucky, and the differences pay for
    it.
    """
    rng, found = np.random.default_rng(5), []
    for _ in range(60):
        base, other = ((rng.random(60) < 0.6).astype(float) for _ in range(2))
        rows = [np.column_stack([values, np.ones(60)]) for values in (base, other)]
        found.append(
            assess(
                Pairs(rows[0], rows[1], np.ones(60), mean, "binary", 0.0, 1.0, 1.0, 0.25, 0.02),
                0.9,
                lambda purpose: rng,
            )
        )
    whole = combined(found)
    assert whole.difference.low is not None and whole.difference.high is not None
    expected = 0.24 / 60 / 0.35**2  # Var(base's score) / skill²: its covariance with the difference is −Var
    assert whole.difference.value - (whole.difference.low + whole.difference.high) / 2 == pytest.approx(
        expected, rel=0.3
    )


def test_another_margin_is_judged_as_if_it_had_been_stated() -> None:
    for findings in ([unit(200, 0.75, 30, 0), unit(400, 0.45, 10, 20)], [unit(500, 0.75, 2, 1), unit(100, 0.6, 1, 0)]):
        stated = combine(findings, 0.05, 0.9, np.random.default_rng(1))
        assert at_margin(combined(findings), 0.05) == (stated.p_forgotten, stated.p_retained)
    assert at_margin(combined([]), 0.05) == (1.0, 1.0)


def test_an_empty_suite_decides_nothing():
    found = combined([])
    assert (found.units, found.p_forgotten, found.p_retained, found.difference.low) == (0, 1.0, 1.0, None)
    assert found.examples_needed((0.05, 0.05)) is None


def test_the_mean_difference_is_plain_and_needs_no_skill() -> None:
    """Units at chance, or below it, count like the others; the interval is that of independent strata, each weighing
    the same.
    """
    findings = [unit(400, 0.7, 60, 15), unit(300, 0.25, 32, 18), unit(500, 0.1, 30, 20)]
    found = mean_difference(findings, 0.9, np.random.default_rng(1))
    assert found is not None and found.value == pytest.approx((-45 / 400 - 14 / 300 - 10 / 500) / 3)
    spread = np.sqrt(sum(f.bootstrap.replicates.var() for f in findings if f.bootstrap is not None)) / 3
    assert found.high - found.low == pytest.approx(2 * 1.645 * spread, rel=0.03)
    assert found.value - found.low == pytest.approx(found.high - found.value, rel=0.1)
    assert mean_difference([], 0.9, np.random.default_rng(1)) is None
    same = mean_difference([unit(400, 0.7, 0, 0), unit(300, 0.6, 0, 0)], 0.9, np.random.default_rng(1))
    assert same is not None and same.value == 0 and same.low < 0 < same.high


def test_the_mean_difference_covers() -> None:
    """True differences −.06 of n = 150, +.02 of 80, 0 of 250, flips .1: mean −.0133."""
    rng, hits, effort = np.random.default_rng(4), 0, Effort(400, 50, 50)
    for _ in range(300):
        findings = []
        for n, shift in ((150, -0.06), (80, 0.02), (250, 0.0)):
            moved = rng.choice([1, -1, 0], n, p=[0.05 + shift / 2, 0.05 - shift / 2, 0.9])
            base = np.where(moved == 0, rng.random(n) < 0.6, moved < 0).astype(float)
            rows = [np.column_stack([values, np.ones(n)]) for values in (base, base + moved)]
            pairs = Pairs(rows[0], rows[1], np.ones(n), mean, "binary", 0.0, 1.0, 1.0, 0.25, 0.02)
            findings.append(assess(pairs, 0.9, lambda purpose: rng, effort))
        found = mean_difference(findings, 0.9, rng)
        assert found is not None
        hits += found.low <= -0.04 / 3 <= found.high
    assert 0.86 <= hits / 300 <= 0.96
