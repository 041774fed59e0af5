"""Answers drawn again from an earlier run's, with a drop or without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stats.drawn_answers import flipped, paired

from evalharness.stats.pairs import Pairs
from evalharness.stats.redraw import base_skill, changed_share, draw_answers, redraw_units


def test_answers_drawn_have_the_score_and_the_flips_asked_for_and_lose_nothing() -> None:
    rng = np.random.default_rng(1)
    pairs = draw_answers(40_000, 0.7, 0.2, 0.5)(rng)
    assert pairs.base[:, 0].mean() == pytest.approx(0.7, abs=0.01) and changed_share(pairs)[1] == pytest.approx(
        0.2, abs=0.01
    )
    assert float(pairs.difference(np.concatenate([pairs.base.sum(0), pairs.candidate.sum(0)]))) == pytest.approx(
        0.0, abs=0.01
    )
    perfect = draw_answers(1000, 1.0, 0.1, 0.5)(rng)
    assert changed_share(perfect)[1] == pytest.approx(
        0.1, abs=0.04
    )  # a base that is always right cannot gain: it is taken a little lower


def test_drawing_again_takes_out_what_was_lost_and_keeps_how_much_changed() -> None:
    base, other = flipped(2000, 0.7, 0.1, np.random.default_rng(1))
    other[:200] = 0.0
    pairs = paired(base, other)
    drawn = redraw_units(pairs, 50_000)(np.random.default_rng(2))
    assert float(drawn.difference(np.concatenate([drawn.base.sum(0), drawn.candidate.sum(0)]))) == pytest.approx(
        0.0, abs=0.01
    )
    assert changed_share(drawn)[1] == pytest.approx(changed_share(pairs)[1], abs=0.01)
    assert changed_share(paired(base, base)) == (0, 1 / 2000)
    assert base_skill(pairs) == pytest.approx(base.mean() - 0.5)


def fall(drawn: Pairs) -> float:
    return -float(drawn.difference(np.concatenate([drawn.base.sum(0), drawn.candidate.sum(0)])))


@pytest.mark.parametrize("drop", [0.02, 0.06, 0.3, 0.9])
def test_drawing_again_loses_what_is_asked_for(drop: float) -> None:
    """Up to all that changes without changing more, beyond it by more changes; of corpus scores and where lower is
    better, too.
    """
    rng = np.random.default_rng(1)
    pairs = paired(*flipped(2000, 0.7, 0.1, rng))
    drawn = redraw_units(pairs, 60_000, drop)(rng)
    assert fall(drawn) == pytest.approx(drop, abs=0.01) and changed_share(drawn)[1] == pytest.approx(
        max(changed_share(pairs)[1], drop), abs=0.01
    )
    errors = replace(pairs, sign=-1.0)
    assert fall(redraw_units(errors, 60_000, drop)(rng)) == pytest.approx(drop, abs=0.01)
    harmonic = replace(pairs, score=lambda sums: 2 * sums[..., 0] / (sums[..., 0] + sums[..., 1]), kind="corpus")
    assert fall(redraw_units(harmonic, 60_000, drop)(rng)) == pytest.approx(drop, abs=0.01)
    made_up = draw_answers(60_000, 0.7, 0.1, 0.5, drop)(rng)
    assert fall(made_up) == pytest.approx(drop, abs=0.01) and changed_share(made_up)[1] == pytest.approx(
        max(0.1, drop), abs=0.01
    )


def test_more_than_can_be_lost_is_not_drawn() -> None:
    small = paired(np.full(50, 0.5), np.where(np.arange(50) < 10, 0.4, 0.5), "graded")
    assert redraw_units(small, 50, 0.09) is not None and redraw_units(small, 50, 0.11) is None
    same = paired(np.ones(50), np.ones(50))
    assert redraw_units(same, 50, 0.01) is None and fall(redraw_units(same, 50)(np.random.default_rng(0))) == 0
    assert draw_answers(50, 0.7, 0.1, 0.5, 1.1) is None
