"""Decide between three verdicts by the p-values of a difference at its margin.

forgotten: the loss is larger than the margin; retained: it is smaller; inconclusive: the data do not tell.
"""

from __future__ import annotations

import math

from evalharness.stats.enums import Side, Verdict
from evalharness.stats.exact import FEW_CHANGES, exact_p
from evalharness.stats.paired import tango_interval, tango_p

MIN_UNITS = 10  # fewer decide nothing
ENOUGH_CHANGED = 20  # changed units from which a bootstrap is trusted to say "retained"
SKILL_SHARE = 0.2  # a margin above this share of the base's score over chance cannot certify anything


def decide(
    p_forgotten: float, p_retained: float, alpha: float, *, units: int, can_retain: bool, at_chance: bool
) -> Verdict:
    """The verdict. `p_forgotten`: adjusted for its family. `can_retain`: the margin is small against the base's skill;
    `at_chance`: there is no skill to lose.
    """
    if units < MIN_UNITS or at_chance:
        return Verdict.INCONCLUSIVE
    if p_forgotten <= alpha:
        return Verdict.FORGOTTEN
    return Verdict.RETAINED if p_retained <= alpha and can_retain else Verdict.INCONCLUSIVE


def p_at_margin(gained: float, lost: float, n: float, margin: float) -> tuple[float, float]:
    """(p_forgotten, p_retained) of 0/1 counts."""
    return p_on_side(gained, lost, n, margin, Verdict.FORGOTTEN), p_on_side(gained, lost, n, margin, Verdict.RETAINED)


def p_on_side(gained: float, lost: float, n: float, margin: float, side: Side) -> float:
    """p_forgotten or p_retained of 0/1 counts: by Tango's test, and by its exact form where fewer than FEW_CHANGES
    answers changed.

    Fractions (an effective sample) are rounded against the claim that is tested.
    """
    if gained + lost >= FEW_CHANGES:
        return tango_p(gained, lost, n, margin)[0 if side == Verdict.FORGOTTEN else 1]
    size = math.floor(n + 1e-9)
    against, towards = (gained, lost) if side == Verdict.FORGOTTEN else (lost, gained)
    more = min(math.ceil(against - 1e-9), size)
    fewer = min(math.floor(towards + 1e-9), size - more)
    rounded = (more, fewer) if side == Verdict.FORGOTTEN else (fewer, more)
    return exact_p(*rounded, size, margin, side)


def full_loss_p(decreased: float, units: int, reach: float, margin: float) -> float:
    """p_retained as if each decreased unit had lost all that a unit can and none had gained. `reach`: score lost if all
    units did.

    What a bootstrap cannot know while few units changed: how large the losses are that it has not seen.
    """
    if reach <= 0:
        return 1.0
    return p_on_side(0.0, min(decreased, units), units, margin / reach, Verdict.RETAINED)


def unseen_interval(units: int, reach: float, level: float) -> tuple[float, float]:
    """The interval of a difference where no unit changed: what `units` units may have missed. `reach`: score lost if
    all units lost all they can.

    A bootstrap of equal rows has no spread and would claim certainty; Tango's interval of 0 gained and 0 lost does not.
    """
    low, high = tango_interval(0, 0, units, level)
    return low * reach, high * reach
