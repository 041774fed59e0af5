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

from evalharness.stats.assess import Finding, assess_at_margin
from evalharness.stats.enums import Verdict
from evalharness.stats.forecast import Rule, certifiable_of, verdict_of
from evalharness.stats.multiplicity import holm
from evalharness.stats.redraw import Losing
from evalharness.stats.suite import combine
from evalharness.stats.verdict import MIN_UNITS, is_suspect

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
    small one); `too_few`: for want of rows, not because the bases can do too little.
    """

    passes: float
    fails: float
    undecided: float
    all_retained: float
    suspects: float
    certifiable: float | None
    draws: int
    losing: tuple[OddsAtLoss, ...] = ()
    too_few: bool = False

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
    verdicts = tuple(verdict_of(finding, p, alpha) for finding, p in adjusted)
    judged = zip(findings, p_values, strict=True)
    suspects = tuple(is_suspect(p, alpha, len(findings), finding.units) for finding, p in judged)
    suite = combine(findings, None)
    whole = verdict_of(suite, 1.0 if suite.p_forgotten is None else suite.p_forgotten, alpha)
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
    of the rule's. A unit that cannot lose so much is not the one that loses. Without units it never passes.

    Where one unit loses, the others answer as in the draws without a loss, so that worlds differ by the loss alone.
    """
    judged = [_Judged(unit, margin, 1 - 2 * rule.alpha) for unit, margin in zip(units, margins, strict=True)]
    even = [[unit.draw(0.0, rng) for unit in judged] for _ in range(times)]
    drawn = [decided(findings, rule.alpha) for findings in even]
    shares = Counter(each.result for each in drawn)
    certifiable = _certified(drawn, rule)
    losing = [_losing(judged, even, rule.alpha, rng, loss) for loss in LOSSES]
    return GateOdds(
        passes=shares[GateResult.PASSES] / times,
        fails=shares[GateResult.FAILS] / times,
        undecided=shares[GateResult.UNDECIDED] / times,
        all_retained=sum(set(each.verdicts) == {Verdict.RETAINED} for each in drawn) / times,
        suspects=sum(any(each.suspects) for each in drawn) / times,
        certifiable=certifiable,
        draws=times,
        losing=tuple(odds for odds in losing if odds is not None),
        too_few=certifiable is None and _too_few(even, drawn, rule.power),
    )


def _too_few(even: Sequence[list[Finding]], drawn: Sequence[GateDraw], power: float) -> bool:
    """Is it not for want of skill that no loss is excluded? What so few rows show of a base's skill tells nothing."""
    few = all(0 < finding.units < MIN_UNITS for findings in even for finding in findings)
    return (few and any(even)) or sum(each.suite.can_retain for each in drawn) >= power * len(drawn)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A unit of which answers are drawn and judged at its margin."""

    unit: Losing
    margin: float
    level: float

    def can_lose(self, margins: float) -> bool:
        return self.unit(margins * self.margin) is not None

    def draw(self, margins: float, rng: np.random.Generator) -> Finding:
        """Judge one draw with a loss of so many margins. Raises ValueError where so much cannot be lost."""
        drawing = self.unit(margins * self.margin)
        if drawing is None:
            raise ValueError(f"a unit cannot lose {margins:g} margins")
        return assess_at_margin(replace(drawing(rng), margin=self.margin), self.level)


def _losing(
    units: Sequence[_Judged], even: Sequence[list[Finding]], alpha: float, rng: np.random.Generator, loss: float
) -> OddsAtLoss | None:
    """The odds where one unit, each in turn, loses so many margins, and the others answer as in `even`."""
    able = [place for place, unit in enumerate(units) if unit.can_lose(loss)]
    if not able:
        return None
    shares, finds, times = Counter[GateResult](), 0, len(even)
    for turn, findings in enumerate(even):
        place = able[turn % len(able)]
        each = decided([*findings[:place], units[place].draw(loss, rng), *findings[place + 1 :]], alpha)
        shares[each.result] += 1
        finds += each.verdicts[place] == Verdict.FORGOTTEN
    return OddsAtLoss(
        margins=loss,
        passes=shares[GateResult.PASSES] / times,
        fails=shares[GateResult.FAILS] / times,
        undecided=shares[GateResult.UNDECIDED] / times,
        found=finds / times,
        draws=times,
    )


def _certified(drawn: Sequence[GateDraw], rule: Rule) -> float | None:
    """The smallest mean loss, in margins, that is excluded with the power asked for; None where the base cannot do
    enough, units are too few, or it is more than MOST_MARGINS.
    """
    able = [each.suite for each in drawn if each.suite.can_retain and each.suite.units >= MIN_UNITS]
    smallest = certifiable_of(able, len(drawn), rule, MOST_MARGINS)
    return smallest if smallest < MOST_MARGINS else None
