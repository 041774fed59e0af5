"""Forecast the verdicts of a planned comparison from assumptions, or an earlier run, about how answers change.

Independent 0/1 answers are enumerated (`power`). All others are drawn from an earlier run's rows (`redraw`), once
without a loss and once with the smallest detectable loss; each draw is judged by the test of a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial

import numpy as np
from scipy.special import ndtri

from evalharness.stats.assess import Finding, assess_at_margin
from evalharness.stats.enums import Verdict
from evalharness.stats.needed import units_needed
from evalharness.stats.power import MOST, NEAR, certifiable_margin, detectable_drop, examples_needed, odds
from evalharness.stats.proportion import wilson
from evalharness.stats.redraw import Drawing, Losing
from evalharness.stats.verdict import MIN_UNITS, SKILL_SHARE, is_small


class Blocker(StrEnum):
    """The reason why "retained" is impossible; too few units make any verdict impossible."""

    FEW_UNITS = "few_units"
    NO_RANGE = "no_range"
    BASE_AT_CHANCE = "base_at_chance"
    MARGIN_EXCEEDS_SKILL = "margin_exceeds_skill"


WHY = {
    Blocker.FEW_UNITS: f"fewer than {MIN_UNITS} units",
    Blocker.NO_RANGE: "the metric states no finite range",
    Blocker.BASE_AT_CHANCE: "the base is at chance",
    Blocker.MARGIN_EXCEEDS_SKILL: f"the margin is above {SKILL_SHARE:.0%} of the base's skill",
}
MOST_MARGIN = 0.99  # of 0/1 metrics: a larger margin certifies nothing
MEDIAN_OF = 15
ROUNDS = 4  # of the search for a drop with a quarter of the draws, and then with all


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The rule by which the forecast's draws get a verdict.

    `margin`: the largest acceptable loss. `alpha`: error rate of either verdict. `tests`: number of gate units (tasks
    and groups that the gate judges) over which p_forgotten is adjusted. `power`: the probability that a forecast claim
    needs.
    """

    margin: float
    alpha: float = 0.05
    tests: int = 1
    power: float = 0.8

    @property
    def alphas(self) -> tuple[float, float]:
        return self.alpha / self.tests, self.alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The forecast of what a planned comparison can show.

    `certifiable`: the smallest margin at which it gives "retained" with the rule's power if nothing is lost.
    `detectable`: the smallest true drop at which it gives "forgotten" with that power. Either is None if not even the
    largest does. `needed`: number of effective units that could certify the margin; None: more than power.MOST, or no
    number. `retained`, `forgotten`: probabilities of the two verdicts if nothing is lost. `draws`: how many were
    simulated; 0: enumerated.
    """

    certifiable: float | None
    detectable: float | None
    needed: int | None
    retained: float
    forgotten: float
    draws: int = 0


def find_blocker(
    units: int, margin: float, skill: float | None, at_chance: bool | None, bounded: bool = True
) -> Blocker | None:
    """Return why the verdict cannot be "retained", whatever the candidate answers; None if it can.

    `skill`: the base's score over chance; for an unknown base the largest possible, with `at_chance` None; None if
    chance is unknown, which blocks nothing. `bounded`: the metric states a finite range. Fewer than MIN_UNITS units
    decide nothing at all; with the other reasons, "forgotten" is still possible.
    """
    if units < MIN_UNITS:
        return Blocker.FEW_UNITS
    if not bounded:
        return Blocker.NO_RANGE
    if skill is None:
        return None
    if at_chance:
        return Blocker.BASE_AT_CHANCE
    return None if is_small(margin, skill) else Blocker.MARGIN_EXCEEDS_SKILL


def at_chance(score: float, chance: float, n: float, alpha: float) -> bool:
    """Return whether a base with this share of right answers is not significantly above chance."""
    return wilson(score * n, n, 1 - 2 * alpha)[0] <= chance


@lru_cache(maxsize=1024)
def enumerated_outlook(n: int, flips: float, rule: Rule) -> Outlook:
    """Return the outlook of n independent 0/1 answers, of which a share `flips` changes, by enumeration: each number of
    changes and losses is judged by the rule of verdicts.
    """
    needed = examples_needed(flips, 0.0, rule.margin, rule.power, rule.alpha)
    if n < MIN_UNITS:
        return Outlook(certifiable=None, detectable=None, needed=needed, retained=0.0, forgotten=0.0)
    verdicts = odds(n, flips, 0.0, rule.margin, rule.alphas)
    certifiable = certifiable_margin(n, flips, rule.power, rule.alpha)
    return Outlook(
        certifiable=certifiable if certifiable < MOST_MARGIN else None,
        detectable=detectable_drop(n, flips, rule.margin, rule.power, rule.alphas[0]),
        needed=needed,
        retained=verdicts.retained,
        forgotten=verdicts.forgotten,
    )


def effective_answers(drawing: Drawing, rng: np.random.Generator, times: int = 60) -> tuple[float, float]:
    """Return the effective number of dependent 0/1 answers and the share of them that changes: medians of the test's
    counts over `times` draws.
    """
    findings = [assess_at_margin(drawing(rng), 0.9) for _ in range(times)]
    counts = [finding.counts or (0.0, 0.0, 0.0) for finding in findings]
    shares = [(gained + lost) / max(n, 1e-9) for gained, lost, n in counts]
    return float(np.median([n for _, _, n in counts])), float(np.median(shares))


def simulated_outlook(losing: Losing, rule: Rule, times: int, rng: np.random.Generator) -> Outlook:
    """Return the outlook of graded and corpus metrics and of dependent 0/1 answers, from `times` draws. `needed`: the
    median over the first MEDIAN_OF draws.
    """
    drawing = losing(0.0)
    if drawing is None:
        raise ValueError("answers that lose nothing can always be drawn")
    pairs = drawing(rng)
    units, reach = len(pairs.base), pairs.high - pairs.low if pairs.bounded else 0.0
    findings = _draw_findings(drawing, rule, times, rng)
    certifiable = certifiable_of(findings, times, rule, reach)
    drop = _detectable(losing, rule, times, rng) if units >= MIN_UNITS else None
    levels = (rule.alpha, rule.power)
    enough = [units_needed(finding, 0.0, Verdict.RETAINED, *levels) or math.inf for finding in findings[:MEDIAN_OF]]
    needed = float(np.median(enough)) if pairs.bounded and units >= 2 else math.inf
    adjusted = [min(1.0, (finding.p_forgotten or 0.0) * rule.tests) for finding in findings]
    verdicts = [verdict_of(finding, p, rule.alpha) for finding, p in zip(findings, adjusted, strict=True)]
    return Outlook(
        certifiable=certifiable if certifiable < reach and units >= MIN_UNITS else None,
        detectable=drop,
        needed=max(MIN_UNITS, math.ceil(needed)) if needed <= MOST else None,
        retained=verdicts.count(Verdict.RETAINED) / times,
        forgotten=verdicts.count(Verdict.FORGOTTEN) / times,
        draws=times,
    )


def _draw_findings(drawing: Drawing, rule: Rule, times: int, rng: np.random.Generator) -> list[Finding]:
    draws = [replace(drawing(rng), margin=rule.margin) for _ in range(times)]
    return [assess_at_margin(pairs, 1 - 2 * rule.alpha) for pairs in draws]


def certifiable_of(findings: Sequence[Finding], times: int, rule: Rule, most: float) -> float:
    """Return the smallest margin below `most` at which the share of draws with the verdict "retained" reaches the
    rule's power; `most` if there is none.

    `findings`: the draws that can be retained, of `times` draws in all. One that is retained at a margin is retained at
    every larger one.
    """
    low, high, retained, unsure = 0.0, most, 0, list(findings)
    if len(findings) < rule.power * times:
        return most
    while high - low > max(NEAR * high, 1e-9 * most):
        middle = (low + high) / 2
        here = [finding.p_at(middle)[1] <= rule.alpha for finding in unsure]
        enough = retained + sum(here) >= rule.power * times
        low, high, retained = (low, middle, retained) if enough else (middle, high, retained + sum(here))
        unsure = [finding for finding, is_retained in zip(unsure, here, strict=True) if is_retained is enough]
    return high


def _distance(
    share_at: Callable[[float], float | None], alpha: float, power: float, first: float, rounds: int
) -> float | None:
    """Return the distance (> 0) from the margin at which a claim has probability `power`; None if `share_at` gives
    None.

    `share_at` returns the share of draws at a distance that support the claim. Until the power lies between two shares,
    each step assumes a one-sided normal test of level α, which detects a distance d with probability Φ(d / s − z): s
    follows from the share, then d from the power; at most a doubling, as a share of 0 says little. Then it interpolates
    the normal quantiles of the nearest shares on either side.
    """
    distance, level, target = first, -float(ndtri(alpha)), float(ndtri(power))
    # (distance, normal quantile of its share), the nearest on either side of the power
    below, above = (0.0, -math.inf), (math.inf, math.inf)
    for _ in range(rounds):
        share = share_at(distance)
        if share is None:
            return None
        reached = float(ndtri(min(max(share, 0.001), 0.999)))
        if reached < target:
            below = max(below, (distance, reached))
        else:
            above = min(above, (distance, reached))
        if math.isfinite(below[1]) and math.isfinite(above[1]) and below[0] < above[0]:
            following = below[0] + (above[0] - below[0]) * (target - below[1]) / (above[1] - below[1])
        else:
            following = distance * min((level + target) / max(level + reached, 0.1 * level), 2.0)
        distance, before = following, distance
        if abs(distance / before - 1) < NEAR:
            break
    return distance


def _detectable(losing: Losing, rule: Rule, times: int, rng: np.random.Generator) -> float | None:
    """Return the smallest true drop that gives "forgotten" with the rule's power; None if that much cannot be lost.

    Every drop is drawn with the same seed, so that the share grows with the drop.
    """
    seed = int(rng.integers(1 << 32))

    def share_at(draws: int, beyond: float) -> float | None:
        drawing = losing(rule.margin + beyond)
        if drawing is None:
            return None
        findings = _draw_findings(drawing, rule, draws, np.random.default_rng(seed))
        return sum((finding.p_forgotten or 0.0) <= rule.alphas[0] for finding in findings) / draws

    first = max(rule.margin, 1e-3)
    beyond = _distance(partial(share_at, max(30, times // 4)), rule.alphas[0], rule.power, first, ROUNDS)
    if beyond is not None:
        beyond = _distance(partial(share_at, times), rule.alphas[0], rule.power, beyond, ROUNDS)
    return None if beyond is None else rule.margin + beyond


def verdict_of(finding: Finding, p_forgotten: float, alpha: float) -> Verdict:
    """Return the verdict on a finding with this p_forgotten, which must be adjusted for multiple tests."""
    return finding.verdict(p_forgotten, 1.0 if finding.p_retained is None else finding.p_retained, alpha)
