"""Forecast by simulation how often the gate passes, fails or stays undecided, with and without a loss in one unit.

A gate unit is a task or group that the gate judges. A loss is counted in margins: 1 is the largest acceptable loss.
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

LOSSES = (1.0, 2.0, 3.0)  # the simulated losses of one unit, in margins
MOST_MARGINS = 50.0  # a suite that is only retained at larger multiples of its margins certifies nothing


class GateResult(StrEnum):
    """The gate's decision on one candidate with a complete run."""

    PASSES = "passes"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsAtLoss:
    """The gate's odds if one gate unit loses `margins` margins and the others nothing; each unit in turn is the losing
    one.

    `passes`, `fails`, `undecided`: shares of draws with that decision. `found`: share in which the losing unit is
    called forgotten. `draws`: their number.
    """

    margins: float
    passes: float
    fails: float
    undecided: float
    found: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOdds:
    """The gate's odds if nothing is lost.

    `passes`, `fails`, `undecided`: shares of draws with that decision. `all_retained`: share in which every unit is
    retained. `suspects`: share in which some unit is suspect. `draws`: their number. `losing`: the odds with one losing
    unit. `certifiable`: the smallest mean loss, in margins, that the suite excludes with the rule's power; None: no
    small one. `too_few`: True if that is because of too few rows, and not of too little skill of the base.
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
        """Return the Monte-Carlo standard error of a share; for a share of 0 or 1, that of one draw more or less."""
        inside = min(max(share, 1 / self.draws), 1 - 1 / self.draws)
        return math.sqrt(inside * (1 - inside) / self.draws)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDraw:
    """The gate's decision on one draw: `result`, with the suite's finding, the units' verdicts, and which units are
    suspect.
    """

    result: GateResult
    suite: Finding
    verdicts: tuple[Verdict, ...]
    suspects: tuple[bool, ...]


def decide_draw(findings: Sequence[Finding], alpha: float) -> GateDraw:
    """Decide on one draw as a comparison and the gate would. `findings`: of all gate units, none of which is the
    target.
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


def gate_odds(
    units: Sequence[Losing], margins: Sequence[float], rule: Rule, times: int, rng: np.random.Generator
) -> GateOdds:
    """Simulate how often the gate passes, fails and stays undecided, if tasks are independent.

    `margins`: those of the units, in place of the rule's. A unit that cannot lose that much is never the losing one.
    Without units the gate never passes. In a draw with a loss the other units answer as in the draw without, so that
    only the loss makes a difference.
    """
    judged = [_Judged(unit, margin, 1 - 2 * rule.alpha) for unit, margin in zip(units, margins, strict=True)]
    even = [[unit.draw(0.0, rng) for unit in judged] for _ in range(times)]
    draws = [decide_draw(findings, rule.alpha) for findings in even]
    shares = Counter(each.result for each in draws)
    certifiable = _certified(draws, rule)
    losing = [_losing(judged, even, rule.alpha, rng, loss) for loss in LOSSES]
    return GateOdds(
        passes=shares[GateResult.PASSES] / times,
        fails=shares[GateResult.FAILS] / times,
        undecided=shares[GateResult.UNDECIDED] / times,
        all_retained=sum(set(each.verdicts) == {Verdict.RETAINED} for each in draws) / times,
        suspects=sum(any(each.suspects) for each in draws) / times,
        certifiable=certifiable,
        draws=times,
        losing=tuple(odds for odds in losing if odds is not None),
        too_few=certifiable is None and _too_few(even, draws, rule.power),
    )


def _too_few(even: Sequence[list[Finding]], draws: Sequence[GateDraw], power: float) -> bool:
    """Return whether too few rows, and not too little skill, prevent excluding a loss. Very few rows do not show the
    skill.
    """
    few = all(0 < finding.units < MIN_UNITS for findings in even for finding in findings)
    return (few and any(even)) or sum(each.suite.can_retain for each in draws) >= power * len(draws)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A unit whose answers are drawn and judged at its margin."""

    unit: Losing
    margin: float
    level: float

    def can_lose(self, margins: float) -> bool:
        return self.unit(margins * self.margin) is not None

    def draw(self, margins: float, rng: np.random.Generator) -> Finding:
        """Judge one draw with a loss of `margins` margins. Raises ValueError if that much cannot be lost."""
        drawing = self.unit(margins * self.margin)
        if drawing is None:
            raise ValueError(f"a unit cannot lose {margins:g} margins")
        return assess_at_margin(replace(drawing(rng), margin=self.margin), self.level)


def _losing(
    units: Sequence[_Judged], even: Sequence[list[Finding]], alpha: float, rng: np.random.Generator, loss: float
) -> OddsAtLoss | None:
    """Return the odds if one unit, each in turn, loses `loss` margins and the others answer as in `even`."""
    able = [place for place, unit in enumerate(units) if unit.can_lose(loss)]
    if not able:
        return None
    shares, finds, times = Counter[GateResult](), 0, len(even)
    for turn, findings in enumerate(even):
        place = able[turn % len(able)]
        each = decide_draw([*findings[:place], units[place].draw(loss, rng), *findings[place + 1 :]], alpha)
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


def _certified(draws: Sequence[GateDraw], rule: Rule) -> float | None:
    """Return the smallest mean loss, in margins, that is excluded with the rule's power; None if the base has too
    little skill, units are too few, or it is more than MOST_MARGINS.
    """
    able = [each.suite for each in draws if each.suite.can_retain and each.suite.units >= MIN_UNITS]
    smallest = certifiable_of(able, len(draws), rule, MOST_MARGINS)
    return smallest if smallest < MOST_MARGINS else None
