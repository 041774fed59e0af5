"""A design, and what is assumed or known of how answers change, to the verdicts that are to be expected if nothing was forgotten.

Independent 0/1 answers are enumerated (`power`). Everything else is drawn again from an earlier run's rows: units with replacement, the two models'
rows of a unit swapped at random, so that as many units change by as much as then and nothing is lost in truth; each draw is judged by `assess`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from evalharness.stats.assess import Effort, Finding, Pairs, assess, one_more, resampled_p
from evalharness.stats.multiplicity import holm
from evalharness.stats.power import MOST, certifiable_margin, detectable_drop, examples_needed, odds
from evalharness.stats.proportion import wilson
from evalharness.stats.resample import Floats
from evalharness.stats.suite import at_margin, combine
from evalharness.stats.verdict import MIN_UNITS, SKILL_SHARE, decide, p_at_margin

Drawing = Callable[[np.random.Generator], Pairs]
"""One set of answers of two models that are equally good."""

Blocker = Literal["few_units", "base_at_chance", "margin_exceeds_skill"]
WHY: dict[Blocker, str] = {
    "few_units": f"fewer than {MIN_UNITS} units",
    "base_at_chance": "the base is at chance",
    "margin_exceeds_skill": f"the margin is above {SKILL_SHARE:.0%} of the base's skill",
}
MOST_MARGIN = 0.99  # no answer for 0/1 metrics
NEAR = 0.005  # to which share of itself a margin is looked for


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides. `alpha`: of either verdict; `tests`: gate units that p_forgotten is adjusted over; `power`: how sure a claim must be."""

    margin: float
    alpha: float = 0.05
    tests: int = 1
    power: float = 0.8

    @property
    def alphas(self) -> tuple[float, float]:
        return self.alpha / self.tests, self.alpha


@dataclass(frozen=True, slots=True)
class Outlook:
    """`certifiable`: the smallest margin at which it would be called retained with the power asked for if nothing is lost; `detectable`: the smallest
    true drop that would be called forgotten (None of either: not even the largest); `needed`: effective units that could certify the margin
    (None: more than power.MOST, or no number); `retained`, `forgotten`: probability of the verdicts if nothing is lost. `draws`: 0: enumerated.
    """

    certifiable: float | None
    detectable: float | None
    needed: int | None
    retained: float
    forgotten: float
    draws: int = 0


@dataclass(frozen=True, slots=True)
class GateOdds:
    """Shares of draws, all without any loss: the gate passes, calls something forgotten, leaves the suite undecided; every unit is retained.

    `certifiable`: the smallest margin of the suite, in units of skill, that is retained with the power asked for (None: no small one).
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
    """Why the verdict can only be inconclusive, whatever the candidate answers. `skill`: of the base, over chance; at most what can be had where it
    is not known, and then `at_chance` is None. A base at chance and few units are never judged; too large a margin can still show forgetting."""
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
    """What n independent 0/1 answers can decide, a share `flips` of which changes: each number of changes and losses judged by the verdict's rule."""
    needed = examples_needed(flips, 0.0, rule.margin, rule.power, rule.alpha)
    if n < MIN_UNITS:
        return Outlook(None, None, needed, 0.0, 0.0)
    found, certifiable = odds(n, flips, 0.0, rule.margin, rule.alphas), certifiable_margin(n, flips, rule.power, rule.alpha)
    drop = detectable_drop(n, flips, rule.margin, rule.power, rule.alphas[0])
    return Outlook(certifiable if certifiable < MOST_MARGIN else None, drop, needed, found.retained, found.forgotten)


def worth(drawing: Drawing, rng: np.random.Generator, times: int = 60) -> tuple[float, float]:
    """Dependent 0/1 answers to how many independent ones they are worth, and the share of them that changes: medians of what `assess` counts."""
    found = [assess(drawing(rng), 0.9, lambda purpose: rng, Effort(2, 2, 1)).counts or (0.0, 0.0, 0.0) for _ in range(times)]
    return float(np.median([n for _, _, n in found])), float(np.median([(gained + lost) / max(n, 1e-9) for gained, lost, n in found]))


def tallied(drawing: Drawing, rule: Rule, times: int, rng: np.random.Generator) -> tuple[float, float]:
    """How often dependent 0/1 answers come out retained and forgotten, the design effect being estimated from each draw, as it will be."""
    found = [assess(replace(drawing(rng), margin=rule.margin), 1 - 2 * rule.alpha, lambda purpose: rng, Effort(2, 2, 1)) for _ in range(times)]
    verdicts = [verdict_of(finding, finding.p_forgotten or 0.0, rule.alphas[0], rule.alpha) for finding in found]
    return verdicts.count("retained") / times, verdicts.count("forgotten") / times


def simulated(drawing: Drawing, rule: Rule, times: int, rng: np.random.Generator) -> Outlook:
    """The same of graded and corpus metrics, from `times` draws. A drop is taken to be the same for every unit: it moves the difference, no spread.

    `needed` scales the certifiable margin with the root of the number of units, which is too careful where few of them change.
    """
    effort, level = Effort(deciding=replicates(rule.tests), describing=400, swaps=1), 1 - 2 * rule.alpha
    findings = [assess(replace(drawing(rng), margin=rule.margin), level, lambda purpose: rng, effort) for _ in range(times)]
    reach = max(finding.unit_loss * finding.units for finding in findings)
    certified = [_smallest(lambda margin, of=finding: p_of(of, margin)[1] <= rule.alpha, reach) for finding in findings]
    drops = [rule.margin + _smallest(lambda drop, of=finding: _p_beyond(of, drop) <= rule.alphas[0], reach) for finding in findings]
    certifiable, drop = (float(np.quantile(values, rule.power, method="higher")) for values in (certified, drops))
    verdicts = [verdict_of(finding, finding.p_forgotten or 0.0, rule.alphas[0], rule.alpha) for finding in findings]
    possible = certifiable < reach and findings[0].units >= MIN_UNITS
    needed = math.ceil(findings[0].units * (certifiable / rule.margin) ** 2) if rule.margin > 0 and certifiable < reach else MOST + 1
    return Outlook(
        certifiable if possible else None,
        drop if drop < rule.margin + reach and findings[0].units >= MIN_UNITS else None,
        max(MIN_UNITS, needed) if needed <= MOST else None,
        verdicts.count("retained") / times,
        verdicts.count("forgotten") / times,
        times,
    )


def replicates(tests: int) -> int:
    """Resamples of a simulated difference: enough for a p-value far below α / tests."""
    return max(1000, 60 * tests)


def verdict_of(finding: Finding, p_forgotten: float, alpha_forgotten: float, alpha: float) -> str:
    """The verdict as a comparison gives it. `p_forgotten` is held against `alpha_forgotten`, p_retained against `alpha`."""
    can_retain = (finding.margin or 0.0) <= SKILL_SHARE * finding.skill + 1e-12
    scaled = min(1.0, p_forgotten * alpha / alpha_forgotten)
    p_retained = 1.0 if finding.p_retained is None else finding.p_retained
    return decide(scaled, p_retained, alpha, units=finding.units, can_retain=can_retain, at_chance=finding.at_chance and finding.units > 0)


def p_of(finding: Finding, margin: float) -> tuple[float, float]:
    """p_forgotten and p_retained of a finding at another margin than its own."""
    if finding.counts is not None:
        return p_at_margin(*finding.counts, margin)
    if finding.bootstrap is None:
        return 1.0, 1.0
    cautious = one_more(finding.bootstrap, finding.unit_loss, finding.changed)
    found = resampled_p(cautious, margin, finding.unit_loss * finding.units, finding.changed, finding.decreased)
    return found["p_forgotten"], found["p_retained"]


def _p_beyond(finding: Finding, drop: float) -> float:
    """p_forgotten at a margin, had every unit lost `drop` more than it."""
    if finding.bootstrap is None:
        return 1.0
    return one_more(finding.bootstrap, finding.unit_loss, finding.changed).p_at_least(drop)


def _smallest(enough: Callable[[float], bool], most: float, near: float = NEAR) -> float:
    """The smallest value up to `most` that is enough, as if more were always enough, too; `most` where nothing is."""
    low, high = 0.0, most
    while high - low > near * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
        if high < 1e-9 * most:
            break
    return high


def gate(drawings: Sequence[Drawing], margins: Sequence[float], suite_margin: float, rule: Rule, times: int, rng: np.random.Generator) -> GateOdds:
    """How often the gate passes if nothing is lost anywhere, tasks being independent. `margins`: of the units, instead of the rule's.

    A draw goes the way of a comparison: `assess`, Holm over the units, the suite over those with skill. There are fewer resamples: that adds noise.
    """
    ends, certified = {"passes": 0, "fails": 0, "undecided": 0, "all": 0}, list[float]()
    effort, level = Effort(deciding=replicates(len(drawings)), describing=400, swaps=1), 1 - 2 * rule.alpha
    for _ in range(times):
        pairs = [replace(draw(rng), margin=margin) for draw, margin in zip(drawings, margins, strict=True)]
        findings = [assess(each, level, lambda purpose: rng, effort) for each in pairs]
        adjusted = holm([finding.p_forgotten or 0.0 for finding in findings])
        verdicts = [verdict_of(finding, p, rule.alpha, rule.alpha) for finding, p in zip(findings, adjusted, strict=True)]
        suite = combine([finding for finding in findings if not finding.at_chance and finding.units >= 2], suite_margin, level, rng)
        whole = verdict_of(suite, suite.p_forgotten or 0.0, rule.alpha, rule.alpha)
        certified.append(_smallest(lambda margin, of=suite: at_margin(of, margin)[1] <= rule.alpha, 1.0, 0.02))
        forgotten = "forgotten" in (whole, *verdicts)
        ends["fails" if forgotten else "passes" if whole == "retained" else "undecided"] += 1
        ends["all"] += all(verdict == "retained" for verdict in verdicts)
    margin = float(np.quantile(certified, rule.power, method="higher"))
    shares = (ends[which] / times for which in ("passes", "fails", "undecided", "all"))
    return GateOdds(*shares, margin if margin <= SKILL_SHARE else None, times)


# ---- draws -----------------------------------------------------------------------------------------------------------


def answers(n: int, score: float, flips: float, chance: float) -> Drawing:
    """n independent 0/1 answers of a base that is right in a share `score` of them; a share `flips` changes, one way as often as the other."""
    half = min(flips / 2, 0.5)
    right = min(max(score, half), 1 - half)
    shares = np.array([right - half, half, half, 1 - right - half]).clip(0.0)
    cells = np.array([(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
    one = np.ones(n)

    def draw(rng: np.random.Generator) -> Pairs:
        drawn = np.repeat(cells, rng.multinomial(n, shares / shares.sum()), axis=0)
        base, candidate = (np.column_stack([drawn[:, i], one]) for i in (0, 1))
        return Pairs(base, candidate, one, _share, "binary", 0.0, 1.0, 1.0, chance, None)

    return draw


def _share(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def again(pairs: Pairs, units: int) -> Drawing:
    """So many units of an earlier run's, drawn with replacement, the models' rows of each swapped at random: neither is better in truth."""

    def draw(rng: np.random.Generator) -> Pairs:
        places, swap = rng.integers(0, len(pairs.base), size=units), rng.integers(0, 2, size=units, dtype=bool)[:, None]
        base, candidate = pairs.base[places], pairs.candidate[places]
        return replace(pairs, base=np.where(swap, candidate, base), candidate=np.where(swap, base, candidate), sizes=pairs.sizes[places])

    return draw


def changed(pairs: Pairs) -> tuple[int, float]:
    """Units of an earlier run that changed, and their share; where none did, as if the next one had."""
    found = int(np.any(pairs.base != pairs.candidate, axis=1).sum())
    return found, max(1, found) / max(1, len(pairs.base))


def base_skill(pairs: Pairs) -> float:
    """The base's score over chance in an earlier run, oriented."""
    return pairs.sign * (float(pairs.score(pairs.base.sum(axis=0))) - pairs.chance)


def largest_skill(pairs: Pairs) -> float:
    """What no base can exceed."""
    return pairs.sign * ((pairs.high if pairs.sign > 0 else pairs.low) - pairs.chance)
