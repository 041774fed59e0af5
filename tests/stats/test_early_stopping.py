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
from watched_streams import single

from evalharness.stats.early_stopping import (
    EARLY,
    LOOKS,
    ROUNDS,
    EvidencePath,
    adjusted_p,
    alpha_by_look,
    anytime_interval,
    anytime_p,
    combined_p,
    evidence_path,
    round_of,
    sequential_unit,
    units_to_continue,
    verdict_on_set,
)
from evalharness.stats.pairs import Pairs
from evalharness.stats.sequential import e_holm, evidence


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
    unit = sequential_unit(of, lots, 1.0)
    assert unit is not None
    found, order = evidence_path(unit, ROUNDS), np.argsort(lots)
    net = (of.candidate[:, 0] - of.base[:, 0])[order]
    for number in range(1, ROUNDS + 1):
        seen = net[: int((lots < number / ROUNDS).sum())]
        assert found.forgotten[number - 1] == pytest.approx(evidence(single(seen), 0.02, "forgotten")[-1])
        assert found.retained[number - 1] == pytest.approx(max(0.0, evidence(single(seen), 0.02, "retained").max()))
    shorter = evidence_path(unit, 7)
    assert shorter.forgotten.tolist() == found.forgotten[:7].tolist() and len(evidence_path(unit, 0).forgotten) == 0


def test_a_round_without_units_changes_nothing_and_no_unit_is_no_evidence() -> None:
    unit = sequential_unit(drawn(np.random.default_rng(1), 3, 1.0, -1.0), np.array([0.01, 0.02, 0.93]), 1.0)
    assert unit is not None
    found = evidence_path(unit, ROUNDS)
    assert len(set(found.forgotten[:18].tolist())) == 1 and found.forgotten[18] > found.forgotten[17]
    empty = sequential_unit(drawn(np.random.default_rng(1), 0, 1.0, -1.0), np.zeros(0), 1.0)
    assert empty is not None and evidence_path(empty, 3).forgotten.tolist() == [0.0] * 3
    assert (
        adjusted_p([evidence_path(empty, 3)]) == [1.0]
        and anytime_p(evidence_path(empty, 3)) == (1.0, 1.0)
        and anytime_interval(empty, 0.05) == (-1.0, 1.0)
    )


def test_scores_without_bets_are_not_watched() -> None:
    ones, lots = np.ones(30), np.linspace(0, 0.99, 30)
    assert (
        sequential_unit(pairs(ones, ones, "corpus"), lots, 1.0) is None
        and sequential_unit(pairs(ones, ones, margin=None), lots, 1.0) is None
    )
    uneven = pairs(ones, ones)
    uneven.candidate[:, 1] = 2  # other weights than the base's
    assert sequential_unit(uneven, lots, 1.0) is None and sequential_unit(pairs(ones, ones), lots, 1.0) is not None


def test_adjusted_is_e_holm_after_every_round_with_what_stopped_left_as_it_was() -> None:
    quick, slow = (
        EvidencePath(np.array([1.0, 6.0]), np.zeros(2)),
        EvidencePath(np.array([0.5, 1.0, 2.0, 5.0]), np.zeros(4)),
    )
    after = [e_holm([1.0, 0.5, 0.0]), e_holm([6.0, 1.0, 0.0]), e_holm([6.0, 2.0, 0.0]), e_holm([6.0, 5.0, 0.0])]
    expected = [max(after[0][0], after[1][0]), max(logs[1] for logs in after), 0.0]
    assert adjusted_p([quick, slow, None]) == pytest.approx([math.exp(-max(log, 0.0)) for log in expected])
    assert adjusted_p([]) == []


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(-5, 20), min_size=1, max_size=6), min_size=1, max_size=5))
def test_adjusting_never_makes_a_p_value_smaller(logs: list[list[float]]) -> None:
    paths = [EvidencePath(np.array(each), np.array(each)) for each in logs]
    for p, of in zip(adjusted_p(paths), paths, strict=True):
        assert anytime_p(of)[0] - 1e-12 <= p <= 1


def test_two_grounds_share_alpha() -> None:
    assert (
        combined_p(0.01, 1.0) == pytest.approx(0.01 / EARLY)
        and combined_p(1.0, 0.01) == pytest.approx(0.01 / (1 - EARLY))
        and combined_p(0.9, 0.9) == 1.0
    )


def test_looks_spend_as_obrien_and_fleming_do() -> None:
    shares = alpha_by_look(0.05)
    assert list(shares) == list(LOOKS) and sum(shares.values()) == pytest.approx(0.05)
    total = 0.0
    for look, of in shares.items():  # Lan and DeMets' spending function, by scipy's normal distribution
        total += of
        assert total == pytest.approx(2 * (1 - norm.cdf(norm.ppf(1 - 0.05 / 2) / math.sqrt(look / ROUNDS))))


def test_who_is_asked_on() -> None:
    verdicts = {"kept": "retained", "open": "inconclusive", "lost": "forgotten"}
    assert units_to_continue(verdicts, "inconclusive") == {
        "open"
    }  # the gate cannot pass: what is retained need not be asked for the suite
    del verdicts["lost"]
    assert units_to_continue(verdicts, "inconclusive") == {"kept", "open"}
    assert units_to_continue(verdicts, "retained") == units_to_continue(verdicts, "forgotten") == {"open"}


def test_a_certificate_is_of_the_set_and_exact_once_all_was_seen() -> None:
    rng = np.random.default_rng(2)
    base = np.ones(200)
    lost = base.copy()
    lost[rng.permutation(200)[:5]] = 0  # 2.5 points, margin 2
    unit = sequential_unit(pairs(base, lost), rng.random(200), 1.0)
    assert unit is not None and verdict_on_set(unit, 200, 0.05) == ("forgotten", 0.0, pytest.approx(1.0, abs=1))
    lost[lost == 0] = [1, 1, 0, 0, 0]  # 1.5 points
    kept = sequential_unit(pairs(base, lost), rng.random(200), 1.0)
    assert (
        kept is not None
        and verdict_on_set(kept, 200, 0.05)[0] == "retained"
        and verdict_on_set(kept, 4000, 0.05)[0] == "inconclusive"
    )
    with pytest.raises(ValueError, match="more units"):
        verdict_on_set(kept, 100, 0.05)


def test_bounds_hold_at_whatever_round_one_stops() -> None:
    rng, missed = np.random.default_rng(3), [0, 0]
    for _ in range(80):
        of, lots = drawn(rng, 300, 0.2, -0.05), rng.random(300)
        ends = []
        for last in (3, 8, 20):
            seen = lots < last / ROUNDS
            some = Pairs(of.base[seen], of.candidate[seen], of.sizes[seen], share, "binary", 0.0, 1.0, 1.0, 0.25, 0.02)
            unit = sequential_unit(some, lots[seen], 1.0)
            assert unit is not None
            ends.append(anytime_interval(unit, 0.05))
        missed[0] += max(low for low, _ in ends) > -0.05
        missed[1] += min(high for _, high in ends) < -0.05
    assert max(missed) / 80 <= 0.05 * EARLY + 0.05
