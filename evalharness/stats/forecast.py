"""A design, and what is assumed or known of how answers change, to the verdicts that are to be expected.

Independent 0/1 answers are enumerated (`power`). Everything else is drawn again from an earlier run's rows (`redraw`),
once if nothing was lost and once if as much was as would just be found; each draw is judged by `assess`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from scipy.special import ndtri

from evalharness.stats.assess import Effort, Finding, assess, resampled_p
from evalharness.stats.enums import MetricKind, Side, Verdict
from evalharness.stats.multiplicity import holm
from evalharness.stats.power import MOST, certifiable_margin, detectable_drop, examples_needed, odds
from evalharness.stats.proportion import wilson
from evalharness.stats.redraw import Drawing, Losing
from evalharness.stats.suite import at_margin, combine
from evalharness.stats.verdict import MIN_UNITS, SKILL_SHARE, p_on_side

Blocker = Literal["few_units", "base_at_chance", "margin_exceeds_skill"]
WHY: dict[Blocker, str] = {
    "few_units": f"fewer than {MIN_UNITS} units",
    "base_at_chance": "the base is at chance",
    "margin_exceeds_skill": f"the margin is above {SKILL_SHARE:.0%} of the base's skill",
}
MOST_MARGIN = 0.99  # no answer for 0/1 metrics
NEAR = 0.005  # to which share of itself a margin is looked for
ROUNDS = 4  # in which a drop is looked for with a quarter of the draws, and then with all


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides. `alpha`: of either verdict; `tests`: gate units that p_forgotten is adjusted over; `power`: how
    sure a claim must be.
    """

    margin: float
    alpha: float = 0.05
    tests: int = 1
    power: float = 0.8

    @property
    def alphas(self) -> tuple[float, float]:
        return self.alpha / self.tests, self.alpha


@dataclass(frozen=True, slots=True)
class Outlook:
    """`certifiable`: the smallest margin at which it would be called retained with the power asked for if nothing is
    lost; `detectable`: the smallest true drop that would be called forgotten (None of either: not even the largest);
    `needed`: effective units that could certify the margin (None: more than power.MOST, or no number); `retained`,
    `forgotten`: probability of the verdicts if nothing is lost. `draws`: 0: enumerated.
    """

    certifiable: float | None
    detectable: float | None
    needed: int | None
    retained: float
    forgotten: float
    draws: int = 0


@dataclass(frozen=True, slots=True)
class GateOdds:
    """Shares of draws, all without any loss: the gate passes, calls something forgotten, leaves the suite undecided;
    every unit is retained.

    `certifiable`: the smallest margin of the suite, in units of skill, that is retained with the power asked for (None:
    no small one).
    """

    passes: float
    fails: float
    undecided: float
    all_retained: float
    certifiable: float | None
    draws: int

    def error(self, share: float) -> float:
        """Monte-Carlo standard error of a share; where no draw or every draw agreed, that of one that did not."""
        held = min(max(share, 1 / self.draws), 1 - 1 / self.draws)
        return math.sqrt(held * (1 - held) / self.draws)


def blocked(units: int, margin: float, skill: float, at_chance: bool | None) -> Blocker | None:
    """Why the verdict can only be inconclusive, whatever the candidate answers. `skill`: of the base, over chance; at
    most what can be had where it
    is not known, and then `at_chance` is None. A base at chance and few units are never judged; too large a margin can
    still show forgetting.
    """
    if units < MIN_UNITS:
        return "few_units"
    if at_chance:
        return "base_at_chance"
    return None if margin <= SKILL_SHARE * skill + 1e-12 else "margin_exceeds_skill"


def at_chance(score: float, chance: float, n: float, alpha: float) -> bool:
    """Would a base with this share of right answers be taken for one that guesses?"""
    return wilson(score * n, n, 1 - 2 * alpha)[0] <= chance


@lru_cache(maxsize=1024)
def enumerated(n: int, flips: float, rule: Rule) -> Outlook:
    """What n independent 0/1 answers can decide, a share `flips` of which changes: each number of changes and losses
    judged by the verdict's rule.
    """
    needed = examples_needed(flips, 0.0, rule.margin, rule.power, rule.alpha)
    if n < MIN_UNITS:
        return Outlook(None, None, needed, 0.0, 0.0)
    found, certifiable = (
        odds(n, flips, 0.0, rule.margin, rule.alphas),
        certifiable_margin(n, flips, rule.power, rule.alpha),
    )
    drop = detectable_drop(n, flips, rule.margin, rule.power, rule.alphas[0])
    return Outlook(certifiable if certifiable < MOST_MARGIN else None, drop, needed, found.retained, found.forgotten)


def worth(drawing: Drawing, rng: np.random.Generator, times: int = 60) -> tuple[float, float]:
    """Dependent 0/1 answers to how many independent ones they are worth, and the share of them that changes: medians of
    what `assess` counts.
    """
    found = [
        assess(drawing(rng), 0.9, lambda purpose: rng, Effort(2, 2, 1)).counts or (0.0, 0.0, 0.0) for _ in range(times)
    ]
    return float(np.median([n for _, _, n in found])), float(
        np.median([(gained + lost) / max(n, 1e-9) for gained, lost, n in found])
    )


def simulated(losing: Losing, rule: Rule, times: int, rng: np.random.Generator) -> Outlook:
    """The same of graded and corpus metrics and of dependent 0/1 answers, from `times` draws.

    `needed` scales the certifiable margin with the root of the number of units, which is too careful where few of them
    change.
    """
    drawing = losing(0.0)
    if drawing is None:
        raise ValueError("answers that lose nothing can always be drawn")
    findings = _drawn(drawing, rule, times, rng)
    units, reach = findings[0].units, max(1e-9, *(finding.unit_loss * finding.units for finding in findings))
    certifiable = _certifiable(findings, rule, reach)
    drop = _detectable(losing, rule, times, rng) if units >= MIN_UNITS else None
    needed = (
        math.ceil(units * (certifiable / rule.margin) ** 2) if rule.margin > 0 and certifiable < reach else MOST + 1
    )
    verdicts = [verdict_of(finding, finding.p_forgotten or 0.0, rule.alphas[0], rule.alpha) for finding in findings]
    return Outlook(
        certifiable if certifiable < reach and units >= MIN_UNITS else None,
        drop,
        max(MIN_UNITS, needed) if needed <= MOST else None,
        verdicts.count(Verdict.RETAINED) / times,
        verdicts.count(Verdict.FORGOTTEN) / times,
        times,
    )


def _drawn(drawing: Drawing, rule: Rule, times: int, rng: np.random.Generator) -> list[Finding]:
    resampled, counted = Effort(deciding=replicates(rule.tests), describing=400, swaps=1), Effort(2, 2, 1)
    drawn = [replace(drawing(rng), margin=rule.margin) for _ in range(times)]
    return [
        assess(pairs, 1 - 2 * rule.alpha, lambda _: rng, counted if pairs.kind == MetricKind.BINARY else resampled)
        for pairs in drawn
    ]


def _certifiable(findings: Sequence[Finding], rule: Rule, most: float) -> float:
    """The smallest margin up to `most` at which enough of the findings are retained; what is at a smaller margin, is at
    a larger one.
    """
    low, high, retained, unsure = 0.0, most, 0, list(findings)
    while high - low > max(NEAR * high, 1e-9 * most):
        middle = (low + high) / 2
        here = [p_of(finding, middle, Verdict.RETAINED) <= rule.alpha for finding in unsure]
        enough = retained + sum(here) >= rule.power * len(findings)
        low, high, retained = (low, middle, retained) if enough else (middle, high, retained + sum(here))
        unsure = [finding for finding, is_retained in zip(unsure, here, strict=True) if is_retained is enough]
    return high


def _where(
    share: Callable[[float], float | None], alpha: float, power: float, first: float, rounds: int
) -> float | None:
    """The distance (> 0) at which a claim comes out with probability `power`; `share`: a distance to how often it does.
    None where it gives None.

    Until the power lies between two shares, each step is that of a one-sided normal test of level α, which finds a
    distance d with probability Φ(d / s − z): s is read off the share, then d for the power; at most a doubling, as a
    share of 0 says little. Then by straight lines between the nearest shares on either side, as normal quantiles.
    """
    distance, level, wanted = first, -float(ndtri(alpha)), float(ndtri(power))
    below, above = (
        (0.0, -math.inf),
        (math.inf, math.inf),
    )  # (distance, normal quantile of its share) on either side of the power
    for _ in range(rounds):
        found = share(distance)
        if found is None:
            return None
        reached = float(ndtri(min(max(found, 0.001), 0.999)))
        below, above = (
            (max(below, (distance, reached)), above) if reached < wanted else (below, min(above, (distance, reached)))
        )
        if math.isfinite(below[1]) and math.isfinite(above[1]) and below[0] < above[0]:
            following = below[0] + (above[0] - below[0]) * (wanted - below[1]) / (above[1] - below[1])
        else:
            following = distance * min((level + wanted) / max(level + reached, 0.1 * level), 2.0)
        distance, before = following, distance
        if abs(distance / before - 1) < NEAR:
            break
    return distance


def _detectable(losing: Losing, rule: Rule, times: int, rng: np.random.Generator) -> float | None:
    """The smallest true drop that is called forgotten with the power asked for; None where so much cannot be lost.

    Every drop is drawn by the same luck, so that a larger one is found more often.
    """
    seed = int(rng.integers(1 << 32))

    def found(draws: int, beyond: float) -> float | None:
        drawing = losing(rule.margin + beyond)
        findings = [] if drawing is None else _drawn(drawing, rule, draws, np.random.default_rng(seed))
        return (
            None
            if drawing is None
            else sum((finding.p_forgotten or 0.0) <= rule.alphas[0] for finding in findings) / draws
        )

    beyond: float | None = max(rule.margin, 1e-3)
    for draws, rounds in ((max(30, times // 4), ROUNDS), (times, ROUNDS)):
        beyond = None if beyond is None else _where(partial(found, draws), rule.alphas[0], rule.power, beyond, rounds)
    return None if beyond is None else rule.margin + beyond


def replicates(tests: int) -> int:
    """Resamples of a simulated difference: enough for a p-value far below α / tests."""
    return max(1000, 60 * tests)


def verdict_of(finding: Finding, p_forgotten: float, alpha_forgotten: float, alpha: float) -> Verdict:
    """The verdict as a comparison gives it. `p_forgotten` is held against `alpha_forgotten`, p_retained against
    `alpha`.
    """
    scaled = min(1.0, p_forgotten * alpha / alpha_forgotten)
    return finding.verdict(scaled, 1.0 if finding.p_retained is None else finding.p_retained, alpha)


def p_of(finding: Finding, margin: float, side: Side) -> float:
    """p_forgotten or p_retained of a finding at another margin than its own."""
    if finding.counts is not None:
        return p_on_side(*finding.counts, margin, side)
    if finding.bootstrap is None:
        return 1.0
    return float(resampled_p(finding, margin)[f"p_{side}"])


def _smallest(enough: Callable[[float], bool], most: float, near: float = NEAR) -> float:
    """The smallest value up to `most` that is enough, as if more were always enough, too; `most` where nothing is."""
    low, high = 0.0, most
    while high - low > near * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
        if high < 1e-9 * most:
            break
    return high


def gate(
    drawings: Sequence[Drawing],
    margins: Sequence[float],
    suite_margin: float,
    rule: Rule,
    times: int,
    rng: np.random.Generator,
) -> GateOdds:
    """How often the gate passes if nothing is lost anywhere, tasks being independent. `margins`: of the units, instead
    of the rule's.

    A draw goes the way of a comparison: `assess`, Holm over the units, the suite over those with skill. There are fewer
    resamples: that adds noise.
    """
    ends, certified = {"passes": 0, "fails": 0, "undecided": 0, "all": 0}, list[float]()
    effort, level = Effort(deciding=replicates(len(drawings)), describing=400, swaps=1), 1 - 2 * rule.alpha
    for _ in range(times):
        pairs = [replace(draw(rng), margin=margin) for draw, margin in zip(drawings, margins, strict=True)]
        findings = [assess(each, level, lambda purpose: rng, effort) for each in pairs]
        adjusted = holm([finding.p_forgotten or 0.0 for finding in findings])
        verdicts = [
            verdict_of(finding, p, rule.alpha, rule.alpha) for finding, p in zip(findings, adjusted, strict=True)
        ]
        suite = combine(
            [finding for finding in findings if not finding.at_chance and finding.units >= 2], suite_margin, level, rng
        )
        whole = verdict_of(suite, suite.p_forgotten or 0.0, rule.alpha, rule.alpha)
        certified.append(_smallest(lambda margin, of=suite: at_margin(of, margin)[1] <= rule.alpha, 1.0, 0.02))
        forgotten = Verdict.FORGOTTEN in (whole, *verdicts)
        ends["fails" if forgotten else "passes" if whole == Verdict.RETAINED else "undecided"] += 1
        ends["all"] += all(verdict == Verdict.RETAINED for verdict in verdicts)
    margin = float(np.quantile(certified, rule.power, method="higher"))
    shares = (ends[which] / times for which in ("passes", "fails", "undecided", "all"))
    return GateOdds(*shares, margin if margin <= SKILL_SHARE else None, times)
