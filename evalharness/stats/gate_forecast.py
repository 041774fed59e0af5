"""Forecast how often the gate passes, fails or stays undecided, by drawing answers of its units again and again: where
nothing is lost, and where one task loses some of its margins.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from evalharness.stats.assess import Finding, assess
from evalharness.stats.enums import Verdict
from evalharness.stats.forecast import Rule, verdict_of
from evalharness.stats.multiplicity import holm
from evalharness.stats.power import smallest_value
from evalharness.stats.redraw import Losing
from evalharness.stats.suite import combine
from evalharness.stats.verdict import is_suspect

LOSSES = (1.0, 2.0, 3.0)  # margins that one unit loses, in the worlds beside the one without a loss
MOST_MARGINS = 50.0  # a suite that is retained at no smaller multiple of its margins certifies nothing


class GateResult(StrEnum):
    """How the gate decides of one candidate, everything having been answered."""

    PASSES = "passes"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsAtLoss:
    """Shares of draws in which one unit, each in turn, loses so many margins and the others nothing. `found`: that unit
    is called forgotten.
    """

    margins: float
    passes: float
    fails: float
    undecided: float
    found: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOdds:
    """Shares of draws in which nothing is lost: the gate passes, fails, stays undecided; every unit is retained; some
    unit is suspect. `losing`: the same where one unit loses.

    `certifiable`: the smallest mean loss, in margins, that the suite excludes with the power asked for (None: no
    small one).
    """

    passes: float
    fails: float
    undecided: float
    all_retained: float
    suspects: float
    certifiable: float | None
    draws: int
    losing: tuple[OddsAtLoss, ...] = ()

    def error(self, share: float) -> float:
        """Monte-Carlo standard error of a share; where no draw or every draw agreed, that of one that did not."""
        inside = min(max(share, 1 / self.draws), 1 - 1 / self.draws)
        return math.sqrt(inside * (1 - inside) / self.draws)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDraw:
    """The gate's decision of one draw, and what it rests on."""

    result: GateResult
    suite: Finding
    verdicts: tuple[Verdict, ...]
    suspects: tuple[bool, ...]


def decided(findings: Sequence[Finding], alpha: float) -> GateDraw:
    """What the gate says of the findings of all gate units, none of which is the target: as a comparison and the gate
    do, one after the other.
    """
    p_values = [1.0 if each.p_forgotten is None else each.p_forgotten for each in findings]
    adjusted = zip(findings, holm(p_values), strict=True)
    verdicts = tuple(verdict_of(finding, p, alpha, alpha) for finding, p in adjusted)
    suspects = tuple(is_suspect(p, alpha, len(findings)) for p in p_values)
    suite = combine(findings, 1 - 2 * alpha)
    whole = verdict_of(suite, 1.0 if suite.p_forgotten is None else suite.p_forgotten, alpha, alpha)
    result = GateResult.UNDECIDED
    if Verdict.FORGOTTEN in (whole, *verdicts):
        result = GateResult.FAILS
    elif whole == Verdict.RETAINED and not any(suspects):
        result = GateResult.PASSES
    return GateDraw(result=result, suite=suite, verdicts=verdicts, suspects=suspects)


def gate(
    units: Sequence[Losing], margins: Sequence[float], rule: Rule, times: int, rng: np.random.Generator
) -> GateOdds:
    """How often the gate passes, fails and stays undecided, tasks being independent. `margins`: of the units, instead
    of the rule's. A unit that cannot lose so much is not the one that loses.
    """
    drawn = [_draw(units, margins, rule, rng) for _ in range(times)]
    shares = Counter(each.result for each in drawn)
    certified = [_certified(each.suite, rule.alpha) for each in drawn]
    certifiable = float(np.quantile(certified, rule.power, method="higher"))
    losing = [_losing(units, margins, rule, times, rng, loss) for loss in LOSSES]
    return GateOdds(
        passes=shares[GateResult.PASSES] / times,
        fails=shares[GateResult.FAILS] / times,
        undecided=shares[GateResult.UNDECIDED] / times,
        all_retained=sum(set(each.verdicts) == {Verdict.RETAINED} for each in drawn) / times,
        suspects=sum(any(each.suspects) for each in drawn) / times,
        certifiable=certifiable if certifiable < MOST_MARGINS else None,
        draws=times,
        losing=tuple(odds for odds in losing if odds is not None),
    )


def _draw(
    units: Sequence[Losing],
    margins: Sequence[float],
    rule: Rule,
    rng: np.random.Generator,
    loss: tuple[int, float] = (-1, 0.0),
) -> GateDraw:
    """One draw. `loss`: the place of the unit that loses, and how many of its margins."""
    findings = []
    for place, (unit, margin) in enumerate(zip(units, margins, strict=True)):
        drawing = unit(margin * loss[1] if place == loss[0] else 0.0)
        if drawing is None:
            raise ValueError("a unit that loses nothing can always be drawn")
        findings.append(assess(replace(drawing(rng), margin=margin), 1 - 2 * rule.alpha, rng, 1))
    return decided(findings, rule.alpha)


def _losing(
    units: Sequence[Losing], margins: Sequence[float], rule: Rule, times: int, rng: np.random.Generator, loss: float
) -> OddsAtLoss | None:
    able = [place for place, unit in enumerate(units) if unit(margins[place] * loss) is not None]
    if not able:
        return None
    shares, found = Counter[GateResult](), 0
    for turn in range(times):
        place = able[turn % len(able)]
        each = _draw(units, margins, rule, rng, (place, loss))
        shares[each.result] += 1
        found += each.verdicts[place] == Verdict.FORGOTTEN
    return OddsAtLoss(
        margins=loss,
        passes=shares[GateResult.PASSES] / times,
        fails=shares[GateResult.FAILS] / times,
        undecided=shares[GateResult.UNDECIDED] / times,
        found=found / times,
        draws=times,
    )


def _certified(suite: Finding, alpha: float) -> float:
    """The smallest mean loss, in margins, that a draw excludes, if the base can do enough."""
    if not suite.can_retain:
        return MOST_MARGINS
    return smallest_value(lambda margins: suite.p_at(margins)[1] <= alpha, 0.0, MOST_MARGINS, near=0.02)
