"""What remains of the base's skill against Fieller's formula and simulation; flips without guesses against models that
know or guess.
"""

from __future__ import annotations

import numpy as np
import pytest

from evalharness.stats.pairs import Pairs
from evalharness.stats.resample import Floats
from evalharness.stats.retention import chance_adjusted_flips, retention


def mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def pairs(
    base: Floats, candidate: Floats, sizes: Floats | None = None, chance: float = 0.25, sign: float = 1.0
) -> Pairs:
    sizes = np.ones(len(base)) if sizes is None else sizes
    rows = [np.column_stack([values, sizes]) for values in (base, candidate)]
    return Pairs(rows[0], rows[1], sizes, mean, "graded", 0.0, 1.0, sign, chance, None)


def test_it_is_the_share_of_skill_with_fiellers_interval() -> None:
    """Every ratio in the interval, and none outside, is one that a t test of (candidate − chance) − ratio × (base −
    chance) does not reject.
    """
    rng = np.random.default_rng(0)
    base = np.clip(rng.normal(0.6, 0.2, 80), 0, 1)
    candidate = np.clip(base + rng.normal(-0.1, 0.15, 80), 0, 1)
    found = retention(pairs(base, candidate), 0.9)
    assert found is not None and found.value == pytest.approx((candidate.mean() - 0.25) / (base.mean() - 0.25))
    for end in found[1:]:
        left = (candidate - 0.25) - end * (base - 0.25)
        assert abs(left.mean() / (left.std(ddof=1) / np.sqrt(80))) == pytest.approx(
            1.6644, abs=1e-3
        )  # t with 79 degrees of freedom


def test_it_covers() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        base = (rng.random(200) < 0.7).astype(float)
        candidate = np.where(rng.random(200) < 0.1, 0.0, base)
        found = retention(pairs(base, candidate), 0.9)
        assert found is not None
        hits += found.low <= (0.63 - 0.25) / 0.45 <= found.high
    assert 0.86 <= hits / 400 <= 0.95


def test_without_skill_there_is_no_share_of_it() -> None:
    base = np.tile([0.0, 1.0], 20)
    assert retention(pairs(base, base, chance=0.5), 0.9) is None
    assert retention(pairs(base, base, chance=0.9), 0.9) is None
    assert retention(pairs(np.ones(1), np.ones(1)), 0.9) is None


def test_nothing_seen_to_change_is_not_certainty() -> None:
    base = np.tile([1.0, 1.0, 1.0, 0.0], 25)
    found = retention(pairs(base, base), 0.9)
    assert found is not None and found.value == 1 and found.low < 0.96 and found.high > 1.04
    perfect = retention(pairs(np.ones(50), np.zeros(50)), 0.9)
    assert perfect is not None and perfect.value == pytest.approx(-1 / 3) and np.isfinite(perfect).all()


def test_fewer_errors_are_better_where_lower_is_better() -> None:
    base, candidate = np.tile([0.0, 0.2], 50), np.tile([0.2, 0.2], 50)
    found = retention(pairs(base, candidate, chance=1.0, sign=-1.0), 0.9)
    assert found is not None and found.value == pytest.approx(0.8 / 0.9)


def know_or_guess(
    rng: np.random.Generator, n: int, choices: int, forgotten: float, learned: float
) -> tuple[Floats, Floats]:
    luck = rng.random(n)
    knew = luck < 0.6
    knows = np.where(luck < forgotten, False, np.where(luck > 1 - learned, True, knew))
    return tuple(np.where(known, 1.0, rng.random(n) < 1 / choices) for known in (knew, knows))  # type: ignore[return-value]


@pytest.mark.parametrize("choices", [2, 4])
def test_guesses_are_taken_out(choices: int) -> None:
    rng = np.random.default_rng(2)
    base, candidate = know_or_guess(rng, 200_000, choices, 0.08, 0.03)
    found = chance_adjusted_flips(base, candidate, np.full(200_000, float(choices)), 0.9)
    assert found is not None and found.lost == pytest.approx(((base == 1) & (candidate == 0)).mean())
    assert found.lost > 0.08 + 0.03  # a good part of what is lost was never known
    assert found.forgotten.value == pytest.approx(0.08, abs=0.006) and found.learned.value == pytest.approx(
        0.03, abs=0.006
    )


def test_flips_cover_over_clusters() -> None:
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        passage = np.repeat(np.arange(60), 4)
        knew, forgot = rng.random(60)[passage] < 0.7, rng.random(60)[passage] < 0.2  # a passage is known or not
        base, candidate = (np.where(known, 1.0, rng.random(240) < 0.25) for known in (knew, knew & ~forgot))
        found = chance_adjusted_flips(base, candidate, np.full(240, 4.0), 0.9, passage)
        assert found is not None and found.forgotten.low is not None and found.forgotten.high is not None
        hits += found.forgotten.low <= 0.14 <= found.forgotten.high
    assert 0.84 <= hits / 300 <= 0.96


def test_flips_of_extremes() -> None:
    same = chance_adjusted_flips(np.ones(20), np.ones(20), np.full(20, 4.0), 0.9)
    assert (
        same is not None and same.forgotten.value == 0 and same.forgotten.high is not None and same.forgotten.high > 0
    )
    wrong = chance_adjusted_flips(np.zeros(20), np.zeros(20), np.full(20, 2.0), 0.9)
    assert wrong is not None and wrong.forgotten.value == 0  # an estimate below 0
    assert chance_adjusted_flips(np.ones(1), np.ones(1), np.full(1, 4.0), 0.9) is None
    with pytest.raises(ValueError, match="one choice"):
        chance_adjusted_flips(np.ones(2), np.ones(2), np.ones(2), 0.9)
