"""How often a gate passes, against how often its units' verdicts come out and against draws judged one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from stats.drawn_answers import flipped, graded, near, paired

from evalharness.stats.assess import assess_at_margin
from evalharness.stats.forecast import Rule
from evalharness.stats.gate_forecast import LOSSES, GateOdds, decide_draw, gate_odds
from evalharness.stats.pairs import Pairs
from evalharness.stats.power import odds
from evalharness.stats.redraw import draw_answers, redraw_units


def test_the_gate_passes_as_often_as_its_parts_say() -> None:
    drawings = [partial(draw_answers, 400, 0.85, 0.2, 0.5), partial(draw_answers, 300, 0.85, 0.2, 0.25)]
    told = gate_odds(drawings, (0.04, 0.04), Rule(margin=1.0), 100, np.random.default_rng(1))
    assert told.passes + told.fails + told.undecided == pytest.approx(1) and told.fails < 0.06
    every = math.prod(odds(n, 0.2, 0.0, 0.04, (0.0, 0.05)).retained for n in (400, 300))
    assert near(told.all_retained, every, 100)
    assert told.certifiable is not None and told.certifiable > 1 and told.passes < 0.8
    wider = [margin * told.certifiable for margin in (0.04, 0.04)]
    assert near(gate_odds(drawings, wider, Rule(margin=1.0), 100, np.random.default_rng(2)).passes, 0.8, 100, 100)


def test_nothing_passes_without_units_or_where_no_base_can_do_enough() -> None:
    rule, rng = Rule(margin=1.0), np.random.default_rng(1)
    assert gate_odds([], (), rule, 5, rng) == GateOdds(
        passes=0.0, fails=0.0, undecided=1.0, all_retained=0.0, suspects=0.0, certifiable=None, draws=5
    )
    guesses = gate_odds([partial(draw_answers, 500, 0.53, 0.05, 0.5)] * 3, [0.02] * 3, rule, 20, rng)
    assert guesses.passes == 0 and guesses.certifiable is None


@pytest.mark.parametrize(("rows", "score", "too_few"), [(4, 0.75, True), (4, 0.98, True), (500, 0.53, False)])
def test_why_no_loss_is_excluded(rows: int, score: float, too_few: bool) -> None:
    units = [partial(draw_answers, rows, score, 0.05, 0.5)] * 2
    told = gate_odds(units, [0.02] * 2, Rule(margin=1.0), 30, np.random.default_rng(1))
    assert (told.certifiable, told.too_few) == (None, too_few)


def test_one_unit_alone_passes_where_it_is_retained() -> None:
    told = gate_odds(
        [partial(draw_answers, 500, 0.85, 0.1, 0.5)], [0.03], Rule(margin=1.0), 150, np.random.default_rng(1)
    )
    assert told.passes == told.all_retained and told.certifiable == pytest.approx(0.0359 / 0.03, rel=0.15)


def test_a_unit_that_cannot_lose_so_much_is_not_the_one_that_loses() -> None:
    few = partial(redraw_units, paired(np.ones(200), np.r_[np.zeros(2), np.ones(198)], "graded", 0.0), 200)
    told = gate_odds([few], [0.4], Rule(margin=1.0), 5, np.random.default_rng(1))
    assert [each.margins for each in told.losing] == [1.0, 2.0]  # three margins are more than there is


MARGIN, TIMES, DRAWS = 0.03, 120, 150
SIZES = (400, 300, 500, 600)


@pytest.fixture(scope="module")
def told() -> GateOdds:
    """Four choice tasks and two graded ones."""
    seen = paired(*graded(3000, np.random.default_rng(3)), "graded", 0.0)
    units = [*(partial(draw_answers, n, 0.8, 0.1, 0.5) for n in SIZES), *[partial(redraw_units, seen, 150)] * 2]
    return gate_odds(units, [MARGIN] * 6, Rule(margin=1.0), DRAWS, np.random.default_rng(1))


@pytest.mark.parametrize("loss", [pytest.param(0.0, marks=pytest.mark.slow), *LOSSES])
def test_what_is_foretold_is_what_answers_drawn_afresh_give(told: GateOdds, loss: float) -> None:
    """Drawn by the law itself, not again from rows; each unit in turn loses."""
    rng, results, finds = np.random.default_rng(2), list[str](), 0
    for turn in range(TIMES):
        pairs = [paired(*flipped(n, 0.8, 0.1, rng)) for n in SIZES]
        pairs += [paired(*graded(150, rng), "graded", 0.0) for _ in range(2)]
        if loss:
            pairs[turn % 6] = _lowered(pairs[turn % 6], loss * MARGIN, rng)
        draw = decide_draw([assess_at_margin(replace(each, margin=MARGIN), 0.9) for each in pairs], 0.05)
        results.append(draw.result)
        finds += draw.verdicts[turn % 6] == "forgotten"
    world = next(each for each in told.losing if each.margins == loss) if loss else told
    for result in ("passes", "fails", "undecided"):
        assert near(results.count(result) / TIMES, getattr(world, result), TIMES, DRAWS), (result, loss)
    if not isinstance(world, GateOdds):
        assert near(finds / TIMES, world.found, TIMES, DRAWS)


def _lowered(pairs: Pairs, drop: float, rng: np.random.Generator) -> Pairs:
    """The same answers, of which so many more are losses that the score falls by so much."""
    base, other = pairs.base.copy(), pairs.candidate.copy()
    size = float(np.abs(other - base)[:, 0].mean())
    down = (rng.random(len(base)) < 0.5 + drop / size / 2)[:, None]
    high, low = np.maximum(base, other), np.minimum(base, other)
    return replace(pairs, base=np.where(down, high, low), candidate=np.where(down, low, high))


def test_errors_of_shares() -> None:
    told = GateOdds(passes=0.36, fails=0.0, undecided=0.64, all_retained=0.0, suspects=0.0, certifiable=None, draws=100)
    # √(.36 · .64 / 100), and √(.01 · .99 / 100) where no draw of 100 agreed
    assert told.error(0.36) == pytest.approx(0.048) and told.error(0.0) == pytest.approx(0.00995, abs=1e-5)
