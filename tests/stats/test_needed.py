"""What would decide: which verdict, under which assumption, and drawn anew at the number that is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from stats.drawn_answers import graded, paired

from evalharness.stats.assess import Finding, assess, mean_of
from evalharness.stats.enums import Assumption, Verdict
from evalharness.stats.needed import Needed, needed
from evalharness.stats.pairs import Pairs
from evalharness.stats.power import MOST, examples_needed
from evalharness.stats.redraw import draw_answers
from evalharness.stats.suite import combine
from evalharness.stats.verdict import p_at_margin

ALPHAS = (0.05, 0.05)
LOST, AS_SEEN = Assumption.NOTHING_LOST, Assumption.AS_SEEN
DRAWS = 200
# named is a probability of .8: 75–90 %, and two standard errors of so many draws
LEAST, MOST_OFTEN = 0.75 - 2 * 0.031, 0.9 + 2 * 0.021


def found(pairs: Pairs, margin: float = 0.02) -> Finding:
    return assess(replace(pairs, margin=margin), 0.9, np.random.default_rng(1), 1)


def counts(n: int, lost: int, gained: int, margin: float = 0.02, right: float = 0.8) -> Finding:
    base = (np.arange(n) < n * right).astype(float)
    other = base.copy()
    other[:lost], other[n - gained :] = 0, 1
    return found(replace(paired(base, other), chance=0.25), margin)


def near(exact: int | None) -> object:
    """About the number at which every count of changes was added up: an undecided row has no second for that."""
    return pytest.approx(exact, rel=0.06)


def test_many_changes_need_what_the_normal_formula_says() -> None:
    """(1.645 + .842)² · .1 / .02² = 1546, if nothing is lost."""
    assert needed(counts(600, 30, 30), ALPHAS) == Needed(Verdict.RETAINED, LOST, pytest.approx(1546, rel=0.03))
    assert needed(counts(600, 35, 25), ALPHAS) == Needed(Verdict.RETAINED, LOST, pytest.approx(1546, rel=0.03))


def test_a_loss_beyond_the_margin_leans_to_forgotten_at_what_it_is() -> None:
    what = needed(counts(100, 8, 2, right=0.9), (0.01, 0.05))
    assert what == Needed(Verdict.FORGOTTEN, AS_SEEN, near(examples_needed(0.1, 0.06, 0.02, 0.8, 0.01)))
    assert what is not None and what.units is not None and 200 < what.units < 1000


def test_a_loss_that_is_shown_and_small_is_supposed_to_be_what_it_is() -> None:
    """10 of 1,000 lost and none gained: the interval's upper end is below 0."""
    what = needed(counts(1000, 13, 0), ALPHAS)
    assert what == Needed(Verdict.RETAINED, AS_SEEN, near(examples_needed(0.013, 0.013, 0.02)))


def test_where_the_units_there_are_would_have_been_enough_if_nothing_were_lost_it_is_what_was_seen() -> None:
    what = needed(counts(2000, 75, 55), ALPHAS)
    assert what is not None and (what.verdict, what.assumption) == (Verdict.RETAINED, AS_SEEN)
    assert what.units is not None and what.units > 2000


def test_no_change_at_all_needs_what_the_rule_for_no_change_needs() -> None:
    what = needed(counts(40, 0, 0), ALPHAS)
    assert what is not None and what.units is not None and what[:2] == (Verdict.RETAINED, LOST)
    assert p_at_margin(0, 0, what.units, 0.02)[1] <= 0.05 < p_at_margin(0, 0, what.units - 1, 0.02)[1]
    same = needed(found(paired(np.full(40, 0.5), np.full(40, 0.5), "graded", chance=0.0)), ALPHAS)
    assert same == Needed(Verdict.RETAINED, LOST, 149)  # .98¹⁴⁹ = .0493


def test_a_difference_on_the_margin_has_no_number_and_one_near_it_more_than_the_most() -> None:
    """On the margin the evidence leans nowhere; then it is said what would show that nothing was lost."""
    assert needed(counts(300, 12, 6), ALPHAS) == Needed(Verdict.RETAINED, LOST, near(examples_needed(0.06, 0.0, 0.02)))
    assert needed(counts(500, 20, 10), ALPHAS) == Needed(Verdict.RETAINED, AS_SEEN, None)  # shown to be a loss
    far = needed(counts(100, 2, 2, margin=0.001), ALPHAS)
    assert far == Needed(Verdict.RETAINED, LOST, None) and MOST == 100_000
    over = needed(counts(1000, 141, 120), ALPHAS)  # .021 lost, margin .02, flips .26
    assert over == Needed(Verdict.FORGOTTEN, AS_SEEN, None)


def test_what_cannot_be_retained_at_any_size_names_no_number() -> None:
    """A base at chance, a margin above a fifth of the skill, no range, no margin, no unit."""
    guessing = counts(200, 20, 20, right=0.25)
    assert guessing.at_chance and needed(guessing, ALPHAS) is None
    assert needed(counts(200, 5, 5, margin=0.2), ALPHAS) is None
    kept = replace(paired(np.full(50, 9.0), np.full(50, 9.0), "graded"), high=np.inf, sign=-1.0, chance=None)
    assert needed(found(kept), ALPHAS) is None
    assert needed(replace(counts(200, 5, 5), margin=None), ALPHAS) is None
    assert needed(combine([], 0.9), ALPHAS) is None
    lost = needed(counts(200, 28, 20, right=0.25), ALPHAS)  # what it lost it may be shown to have lost
    assert lost is not None and lost.verdict == Verdict.FORGOTTEN


def test_a_gain_that_is_capped_is_no_reason_to_lean_on_and_one_unit_needs_what_it_needs_alone() -> None:
    losing, gaining = counts(500, 40, 25), counts(500, 5, 255, right=0.4)
    suite = combine([losing] * 14 + [gaining], 0.9)
    assert suite.difference.value > -1 and suite.capped is not None and suite.capped.estimate < -1
    assert needed(suite, ALPHAS) == Needed(Verdict.RETAINED, AS_SEEN, None)
    alone = counts(300, 12, 9)
    assert needed(combine([alone], 0.9), ALPHAS) == needed(alone, ALPHAS) != None  # noqa: E711


def test_dependent_rows_need_as_many_units_as_they_are_worth() -> None:
    """Five copies of every answer: five times as many rows, in as many units."""
    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.7).astype(float)
    other = np.where(rng.random(400) < 0.15, 1 - base, base)
    sizes = np.full(400, 5.0)
    rows = [np.column_stack([5 * values, sizes]) for values in (base, other)]
    copied = replace(paired(base, other), base=rows[0], candidate=rows[1], sizes=sizes, chance=0.25)
    single, five = (needed(found(each), ALPHAS) for each in (replace(paired(base, other), chance=0.25), copied))
    assert single is not None and five is not None and single[:2] == five[:2]
    assert five.units == pytest.approx(single.units, rel=0.05)


def share_decided(named: Needed, alphas: tuple[float, float], draw: Callable[[int], Finding]) -> float:
    """Of findings of as many units as are named, those with the verdict that is named."""
    assert named.units is not None
    place = (Verdict.FORGOTTEN, Verdict.RETAINED).index(named.verdict)
    hits = 0
    for _ in range(DRAWS):
        of = draw(named.units)
        p = (of.p_forgotten, of.p_retained)[place]
        hits += p is not None and p <= alphas[place]
    return hits / DRAWS


def judged(pairs: Pairs, margin: float) -> Finding:
    """What a test needs of `assess`, without intervals."""
    p_values = (mean_of(pairs).p_at_least(-margin), mean_of(pairs).p_at_most(-margin))
    return replace(NOTHING, p_forgotten=p_values[0], p_retained=p_values[1])


NOTHING = combine([], 0.9)


@pytest.mark.parametrize(("n", "flips", "loss"), [(400, 0.1, 0.0), (100, 0.02, 0.0), (300, 0.3, 0.0), (150, 0.2, 0.09)])
def test_right_or_wrong_answers_drawn_at_the_number_named(n: int, flips: float, loss: float) -> None:
    lost, gained = round(n * (flips + loss) / 2), round(n * (flips - loss) / 2)
    named = needed(counts(n, lost, gained), ALPHAS)
    assert named is not None and named.verdict == (Verdict.FORGOTTEN if loss else Verdict.RETAINED)
    rng = np.random.default_rng(n)
    psi, drop = (lost + gained) / n, (lost - gained) / n if loss else 0.0

    def draw(units: int) -> Finding:
        changed = rng.multinomial(units, [(psi - drop) / 2, (psi + drop) / 2, 1 - psi])
        p_values = p_at_margin(float(changed[0]), float(changed[1]), units, 0.02)
        return replace(NOTHING, p_forgotten=p_values[0], p_retained=p_values[1])

    assert LEAST <= share_decided(named, ALPHAS, draw) <= MOST_OFTEN


def jitter(n: int, rng: np.random.Generator, loss: float) -> Pairs:
    """Symmetric around the loss."""
    base, other = graded(n, rng)
    return paired(base, np.clip(other - loss, -1, 1), "graded", chance=0.0)


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("n", [60, 200])
def test_graded_scores_drawn_at_the_number_named(n: int, loss: float) -> None:
    """The earlier scores' own distribution, moved to the loss that is supposed."""
    rng = np.random.default_rng(n)
    seen = jitter(n, rng, loss)
    named = needed(found(seen), (0.01, 0.05))
    assert named is not None and named.verdict == (Verdict.FORGOTTEN if loss else Verdict.RETAINED)
    values = seen.candidate[:, 0] - seen.base[:, 0]
    moved = values if named.assumption == AS_SEEN else values - values.mean()

    def draw(units: int) -> Finding:
        drawn = rng.choice(moved, units)
        return judged(paired(np.zeros(units), drawn, "graded", chance=0.0), 0.02)

    assert LEAST <= share_decided(named, (0.01, 0.05), draw) <= MOST_OFTEN


@pytest.mark.parametrize(("lost", "gained"), [(11, 10), (24, 8)])
def test_corpus_scores_drawn_at_the_number_named(lost: int, gained: int) -> None:
    """F1 of 200 answers: if nothing is lost, either row of a pair is the base's as often."""
    rng = np.random.default_rng(3)
    base = (np.arange(200) < 160).astype(float)
    other = base.copy()
    other[:lost], other[200 - gained :] = 0, 1
    score = lambda sums: 2 * sums[..., 0] / (sums[..., 0] + sums[..., 1])  # noqa: E731
    seen = replace(paired(base, other, "corpus", chance=0.0), score=score)
    named = needed(found(seen), ALPHAS)
    assert named is not None
    assert named[:2] == ((Verdict.RETAINED, LOST) if lost == 11 else (Verdict.FORGOTTEN, AS_SEEN))

    def draw(units: int) -> Finding:
        places, kept = rng.integers(0, 200, units), rng.random(units) < (0.5 if named.assumption == LOST else 1.0)
        one, two = base[places], other[places]
        again = paired(np.where(kept, one, two), np.where(kept, two, one), "corpus", chance=0.0)
        return judged(replace(again, score=score), 0.02)

    assert LEAST <= share_decided(named, ALPHAS, draw) <= MOST_OFTEN


def test_a_suite_drawn_at_the_number_named() -> None:
    """Four tasks of 100 answers, flips .15: so many in all that the suite is retained if nothing is lost."""
    rng = np.random.default_rng(4)
    units = [draw_answers(100, 0.8, 0.15, 0.25)(rng) for _ in range(4)]
    flips = float(np.mean([np.abs(each.candidate[:, 0] - each.base[:, 0]).mean() for each in units]))
    named = needed(combine([found(each) for each in units], 0.9), ALPHAS)
    assert named is not None and named[:2] == (Verdict.RETAINED, LOST) and named.units is not None

    def draw(total: int) -> Finding:
        drawn = [draw_answers(round(total / 4), 0.8, flips, 0.25)(rng) for _ in range(4)]
        return combine([replace(counts(10, 0, 0), mean=mean_of(each)) for each in drawn], 0.9)

    assert LEAST <= share_decided(named, ALPHAS, draw) <= MOST_OFTEN
