"""Decide between the three verdicts by the p-values of a difference at its margin.

forgotten: the loss is larger than the margin; retained: it is smaller; inconclusive: the data do not tell.
"""

from __future__ import annotations

import math

from evalharness.stats.enums import Side, Verdict
from evalharness.stats.exact import FEW_CHANGES, exact_p
from evalharness.stats.paired import tango_p

MIN_UNITS = 10  # fewer decide nothing
SKILL_SHARE = 0.2  # a margin above this share of the base's score over chance certifies nothing
SUSPECTS = 0.75  # largest expected number of suspect units if nothing changed


def decide(p_forgotten: float, p_retained: float, alpha: float, *, units: int, can_retain: bool) -> Verdict:
    """Return the verdict on one difference, from its p-values at the margin and the error rate `alpha`.

    `p_forgotten` must be adjusted for multiple tests. `units`: fewer than MIN_UNITS decide nothing. `can_retain`: the
    base is above chance, the margin small against its skill, and the metric's range finite; "forgotten" does not need
    that.
    """
    if units < MIN_UNITS:
        return Verdict.INCONCLUSIVE
    if p_forgotten <= alpha:
        return Verdict.FORGOTTEN
    return Verdict.RETAINED if p_retained <= alpha and can_retain else Verdict.INCONCLUSIVE


def is_small(margin: float, skill: float) -> bool:
    """Return whether a margin is small against the base's skill: else keeping within it would show nothing."""
    return margin <= SKILL_SHARE * skill * (1 + 1e-12)


def is_suspect(p_forgotten: float, alpha: float, tests: int, units: int) -> bool:
    """Return whether one gate unit (a task or group that the gate judges) is suspect of a loss beyond its margin.

    `p_forgotten`: not adjusted. `tests`: the number of gate units. `units`: the units of data in this one. If nothing
    is lost, α · tests suspects are expected, and at most SUSPECTS.
    """
    return units >= MIN_UNITS and p_forgotten <= min(alpha, SUSPECTS / max(tests, 1))


def p_at_margin(gained: float, lost: float, n: float, margin: float) -> tuple[float, float]:
    """Return (p_forgotten, p_retained) of counts of gained and lost 0/1 answers; see `p_on_side`."""
    return p_on_side(gained, lost, n, margin, Verdict.FORGOTTEN), p_on_side(gained, lost, n, margin, Verdict.RETAINED)


def p_on_side(gained: float, lost: float, n: float, margin: float, side: Side) -> float:
    """Return one of the two p-values of counts of 0/1 answers: p_forgotten or p_retained, as `side` says.

    The test is Tango's, or its exact form for fewer than FEW_CHANGES changes. Fractions (an effective sample) are
    rounded against the tested claim.
    """
    if gained + lost >= FEW_CHANGES:
        return tango_p(gained, lost, n, margin)[0 if side == Verdict.FORGOTTEN else 1]
    size = math.floor(n + 1e-9)
    against, towards = (gained, lost) if side == Verdict.FORGOTTEN else (lost, gained)
    more = min(math.ceil(against - 1e-9), size)
    fewer = min(math.floor(towards + 1e-9), size - more)
    rounded = (more, fewer) if side == Verdict.FORGOTTEN else (fewer, more)
    return exact_p(*rounded, size, margin, side)
