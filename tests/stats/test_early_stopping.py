"""EarlyStopping, e-processes after each, and who is asked on: against the definitions written out, and over draws at
the margin.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from evalharness.stats.assess import Pairs
from evalharness.stats.early_stopping import (
    EARLY,
    LOOKS,
    ROUNDS,
    Path,
    adjusted,
    asked_on,
    bounds,
    certified,
    either,
    path,
    round_of,
    spent,
    unadjusted,
    watched,
)
from evalharness.stats.sequential import e_holm, evidence, single


def share(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def pairs(base: np.ndarray, candidate: np.ndarray, kind: str = "binary", margin: float | None = 0.02) -> Pairs:
    one = np.ones(len(base))
    rows = (np.column_stack([values, one]) for values in (base, candidate))
    return Pairs(*rows, one, share, kind, 0.0, 1.0, 1.0, 0.25, margin)  # type: ignore[arg-type]


def drawn(rng: np.random.Generator, n: int, flips: float, difference: float) -> Pairs:
    luck, lost = rng.random(n), (flips - difference) / 2
    base = np.where(luck < lost, 1.0, np.where(luck < flips, 0.0, 1.0))
    return pairs(base, base + np.where(luck < lost, -1.0, np.where(luck < flips, 1.0, 0.0)))


def test_rounds_are_twentieths_of_the_lots() -> None:
    assert round_of(np.array([0.0, 0.0499, 0.05, 0.5, 0.9999])).tolist() == [1, 1, 2, 11, ROUNDS]


def test_evidence_after_each_round_is_that_of_the_units_so_far() -> None:
    rng = np.random.default_rng(0)
    of, lots = drawn(rng, 300, 0.3, -0.1), rng.random(300)
    unit = watched(of, lots, 1.0)
    assert unit is not None
    found, order = path(unit, ROUNDS), np.argsort(lots)
    net = (of.candidate[:, 0] - of.base[:, 0])[order]
    for number in range(1, ROUNDS + 1):
        seen = net[: int((lots < number / ROUNDS).sum())]
        assert found.forgotten[number - 1] == pytest.approx(evidence(single(seen), 0.02, "forgotten")[-1])
        assert found.retained[number - 1] == pytest.approx(max(0.0, evidence(single(seen), 0.02, "retained").max()))
    shorter = path(unit, 7)
    assert shorter.forgotten.tolist() == found.forgotten[:7].tolist() and len(path(unit, 0).forgotten) == 0


def test_a_round_without_units_changes_nothing_and_no_unit_is_no_evidence() -> None:
    unit = watched(drawn(np.random.default_rng(1), 3, 1.0, -1.0), np.array([0.01, 0.02, 0.93]), 1.0)
    assert unit is not None
    found = path(unit, ROUNDS)
    assert len(set(found.forgotten[:18].tolist())) == 1 and found.forgotten[18] > found.forgotten[17]
    empty = watched(drawn(np.random.default_rng(1), 0, 1.0, -1.0), np.zeros(0), 1.0)
    assert empty is not None and path(empty, 3).forgotten.tolist() == [0.0] * 3
    assert (
        adjusted([path(empty, 3)]) == [1.0]
        and unadjusted(path(empty, 3)) == (1.0, 1.0)
        and bounds(empty, 0.05) == (-1.0, 1.0)
    )


def test_scores_without_bets_are_not_watched() -> None:
    ones, lots = np.ones(30), np.linspace(0, 0.99, 30)
    assert (
        watched(pairs(ones, ones, "corpus"), lots, 1.0) is None
        and watched(pairs(ones, ones, margin=None), lots, 1.0) is None
    )
    uneven = pairs(ones, ones)
    uneven.candidate[:, 1] = 2  # other weights than the base's
    assert watched(uneven, lots, 1.0) is None and watched(pairs(ones, ones), lots, 1.0) is not None


def test_adjusted_is_e_holm_after_every_round_with_what_stopped_left_as_it_was() -> None:
    quick, slow = Path(np.array([1.0, 6.0]), np.zeros(2)), Path(np.array([0.5, 1.0, 2.0, 5.0]), np.zeros(4))
    after = [e_holm([1.0, 0.5, 0.0]), e_holm([6.0, 1.0, 0.0]), e_holm([6.0, 2.0, 0.0]), e_holm([6.0, 5.0, 0.0])]
    expected = [max(after[0][0], after[1][0]), max(logs[1] for logs in after), 0.0]
    assert adjusted([quick, slow, None]) == pytest.approx([math.exp(-max(log, 0.0)) for log in expected])
    assert adjusted([]) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-5, 20), min_size=1, max_size=6), min_size=1, max_size=5))
def test_adjusting_never_makes_a_p_value_smaller(logs: list[list[float]]) -> None:
    paths = [Path(np.array(each), np.array(each)) for each in logs]
    for p, of in zip(adjusted(paths), paths, strict=True):
        assert unadjusted(of)[0] - 1e-12 <= p <= 1


def test_two_grounds_share_alpha() -> None:
    assert (
        either(0.01, 1.0) == pytest.approx(0.01 / EARLY)
        and either(1.0, 0.01) == pytest.approx(0.01 / (1 - EARLY))
        and either(0.9, 0.9) == 1.0
    )


def test_looks_spend_as_obrien_and_fleming_do() -> None:
    shares = spent(0.05)
    assert list(shares) == list(LOOKS) and sum(shares.values()) == pytest.approx(0.05)
    total = 0.0
    for look, of in shares.items():  # Lan and DeMets' spending function, by scipy's normal distribution
        total += of
        assert total == pytest.approx(2 * (1 - norm.cdf(norm.ppf(1 - 0.05 / 2) / math.sqrt(look / ROUNDS))))


def test_who_is_asked_on() -> None:
    verdicts = {"kept": "retained", "open": "inconclusive", "lost": "forgotten"}
    assert asked_on(verdicts, "inconclusive") == {
        "open"
    }  # the gate cannot pass: what is retained need not be asked for the suite
    del verdicts["lost"]
    assert asked_on(verdicts, "inconclusive") == {"kept", "open"}
    assert asked_on(verdicts, "retained") == asked_on(verdicts, "forgotten") == {"open"}


def test_a_certificate_is_of_the_set_and_exact_once_all_was_seen() -> None:
    rng = np.random.default_rng(2)
    base = np.ones(200)
    lost = base.copy()
    lost[rng.permutation(200)[:5]] = 0  # 2.5 points, margin 2
    unit = watched(pairs(base, lost), rng.random(200), 1.0)
    assert unit is not None and certified(unit, 200, 0.05) == ("forgotten", 0.0, pytest.approx(1.0, abs=1))
    lost[lost == 0] = [1, 1, 0, 0, 0]  # 1.5 points
    kept = watched(pairs(base, lost), rng.random(200), 1.0)
    assert (
        kept is not None
        and certified(kept, 200, 0.05)[0] == "retained"
        and certified(kept, 4000, 0.05)[0] == "inconclusive"
    )
    with pytest.raises(ValueError, match="more units"):
        certified(kept, 100, 0.05)


def test_bounds_hold_at_whatever_round_one_stops() -> None:
    rng, missed = np.random.default_rng(3), [0, 0]
    for _ in range(80):
        of, lots = drawn(rng, 300, 0.2, -0.05), rng.random(300)
        ends = []
        for last in (3, 8, 20):
            seen = lots < last / ROUNDS
            some = Pairs(of.base[seen], of.candidate[seen], of.sizes[seen], share, "binary", 0.0, 1.0, 1.0, 0.25, 0.02)
            unit = watched(some, lots[seen], 1.0)
            assert unit is not None
            ends.append(bounds(unit, 0.05))
        missed[0] += max(low for low, _ in ends) > -0.05
        missed[1] += min(high for _, high in ends) < -0.05
    assert max(missed) / 80 <= 0.05 * EARLY + 0.05
