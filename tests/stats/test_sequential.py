"""Anytime-valid comparison against the bets written out, and against simulation: errors under optional stopping, and
how soon it decides.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from watched_streams import first_decision, single

from evalharness.stats.enums import SIDES, Side
from evalharness.stats.sequential import SHARES, Floats, Stream, certificate, e_holm, evidence, interval

ENOUGH = math.log(1 / 0.05)


def answers(rng: np.random.Generator, n: int, flips: float, difference: float) -> Floats:
    luck, lost = rng.random(n), (flips - difference) / 2
    return np.where(luck < lost, -1.0, np.where(luck < flips, 1.0, 0.0))


def written_out(differences: Floats, margin: float, side: Side, population: int | None) -> Floats:
    """Waudby-Smith and Ramdas' capital, x = (d + 1) / 2 and m = (1 − margin) / 2, a factor 1 + λ (x − m_t) at a
    time.
    """
    x, m = (differences + 1) / 2, (1 - margin) / 2
    capital, path, seen = np.ones(len(SHARES)), [], 0.0
    for t, value in enumerate(x):
        mean = m if population is None else (population * m - seen) / (population - t)
        bet = SHARES / mean if side == "retained" else -SHARES / (1 - mean)
        capital = capital * (1 + bet * (value - mean))
        seen += value
        path.append(capital.mean())
    return np.array(path)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("population", [None, 400])
def test_is_the_product_of_bets(side: Side, population: int | None) -> None:
    rng = np.random.default_rng(0)
    for differences in (answers(rng, 150, 0.2, -0.05), rng.uniform(-0.3, 0.25, 150)):
        found = np.exp(evidence(single(differences), 0.02, side, population))
        assert found == pytest.approx(written_out(differences, 0.02, side, population), rel=1e-9)


def test_a_set_that_was_seen_whole_is_certain() -> None:
    lost = single([-1.0] * 3 + [0.0] * 97)
    assert (
        certificate(lost, 0.02, "forgotten", 100)[-1] == math.inf
        and certificate(lost, 0.02, "retained", 100)[-1] < ENOUGH
    )
    kept = single([0.0] * 97 + [-1.0])
    assert certificate(kept, 0.02, "retained", 98)[-1] == math.inf
    assert certificate(single([-1.0] * 60), 0.02, "forgotten", 100)[-1] == math.inf  # 40 gains could not mend it
    assert certificate(single([-1.0] * 49), 0.02, "forgotten", 100)[-1] < math.inf  # 51 could
    with pytest.raises(ValueError, match="more units"):
        certificate(kept, 0.02, "retained", 50)


@pytest.mark.parametrize("flips", [0.05, 0.3])
@pytest.mark.parametrize("finite", [False, True])
def test_errs_rarely_however_often_one_looks(flips: float, finite: bool) -> None:
    """The true difference is exactly −.02, of all questions or of the finite set: ever reaching 1/α is an error, on
    both sides.
    """
    rng, n, wrong = np.random.default_rng(1), 500, dict.fromkeys(SIDES, 0)
    lost = round(n * (flips + 0.02) / 2)
    fixed = np.repeat([-1.0, 1.0, 0.0], [lost, lost - 10, n - 2 * lost + 10])
    for _ in range(400):
        stream = single(rng.permutation(fixed) if finite else answers(rng, n, flips, -0.02))
        for side in SIDES:
            wrong[side] += evidence(stream, 0.02, side, n if finite else None)[: n - 1].max() >= ENOUGH
    assert all(count / 400 <= 0.05 + 0.025 for count in wrong.values()), wrong


def test_errs_rarely_on_units_of_many_graded_rows() -> None:
    rng, wrong = np.random.default_rng(2), dict.fromkeys(SIDES, 0)
    for _ in range(300):
        sizes = rng.integers(1, 9, 300).astype(float)
        shares = np.clip(rng.normal(-0.02, 0.15, 300), -1, 1)  # all rows of a unit change alike
        for side in SIDES:
            wrong[side] += evidence(Stream(net=shares * sizes, sizes=sizes, largest=8.0), 0.02, side).max() >= ENOUGH
    assert all(count / 300 <= 0.07 for count in wrong.values()), wrong


@pytest.mark.parametrize("population", [None, 1000])
def test_a_large_loss_is_found_within_a_quarter(population: int | None) -> None:
    rng = np.random.default_rng(3)
    stops = [first_decision(single(answers(rng, 1000, 0.1, -0.08)), 0.02, 0.05, population) for _ in range(100)]
    assert {verdict for _, verdict in stops} == {"forgotten"}
    assert np.mean([after for after, _ in stops]) < 250


def test_nothing_that_changes_is_retained_and_too_little_is_inconclusive() -> None:
    after, verdict = first_decision(single(np.zeros(1000)), 0.02, 0.05)
    assert verdict == "retained" and 148 < after < 260  # no fixed-sample test may say it before 149
    assert first_decision(single(np.zeros(100)), 0.02, 0.05) == (100, "inconclusive")
    assert first_decision(single([]), 0.02, 0.05) == (0, "inconclusive")
    assert first_decision(single([-1.0] * 30), 0.02, 0.05)[0] == 10  # not before ten units


def test_bounds_may_be_read_at_any_time() -> None:
    rng, missed = np.random.default_rng(4), [0, 0]
    for _ in range(120):
        low, high = interval(single(answers(rng, 300, 0.2, -0.05)), 0.05)
        missed[0], missed[1] = missed[0] + (low > -0.05), missed[1] + (high < -0.05)
    assert max(missed) / 120 <= 0.08
    low, high = interval(single(answers(rng, 4000, 0.1, -0.05)), 0.05)
    assert -0.09 < low < -0.05 < high < -0.02
    assert interval(single([]), 0.05) == (-1.0, 1.0)


def test_bounds_and_evidence_agree() -> None:
    stream = single(answers(np.random.default_rng(5), 600, 0.1, -0.06))
    low, high = interval(stream, 0.05, population=900)
    assert (
        evidence(stream, -(low - 1e-6), "retained", 900).max()
        >= ENOUGH
        > evidence(stream, -(low + 1e-6), "retained", 900).max()
    )
    assert (
        evidence(stream, -(high + 1e-6), "forgotten", 900).max()
        >= ENOUGH
        > evidence(stream, -(high - 1e-6), "forgotten", 900).max()
    )


def closed(values: list[float]) -> list[float]:
    """The closed test by its definition: the least mean of any set that holds the value."""
    places = range(len(values))
    sets = [chosen for size in places for chosen in combinations(places, size + 1)]
    return [min(np.mean([values[i] for i in chosen]) for chosen in sets if place in chosen) for place in places]


@pytest.mark.parametrize("values", [[40.0, 0.2, 25.0, 0.9, 100.0], [3.0], [1.0, 1.0], [30.0, 50.0, 70.0, 90.0]])
def test_e_holm_is_the_closed_test(values: list[float]) -> None:
    assert np.exp(e_holm([math.log(value) for value in values])) == pytest.approx(closed(values))


def test_e_holm_of_extremes() -> None:
    assert e_holm([]) == []
    assert e_holm([math.inf, -math.inf]) == [math.inf, -math.inf]


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="more than it can"):
        single([0.5, 1.5])
    with pytest.raises(ValueError, match="more than it can"):
        Stream(net=np.array([1.0]), sizes=np.array([5.0]), largest=4.0)
