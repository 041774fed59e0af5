"""Assess the difference of two models on the same units: intervals, p-values at the margin, counts of changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from evalharness.stats import paired, power, proportion
from evalharness.stats.enums import MetricKind, Verdict
from evalharness.stats.exact import FEW_CHANGES
from evalharness.stats.pairs import Interval, Pairs, put_back, unit_loss
from evalharness.stats.resample import (
    FULL,
    Bootstrap,
    Effort,
    Floats,
    Score,
    bootstrap,
    influence,
    swap_p,
    swapped_differences,
)
from evalharness.stats.verdict import ENOUGH_CHANGED, SKILL_SHARE, decide, full_loss_p, p_at_margin, unseen_interval

Draw = Callable[[str], np.random.Generator]
"""A Generator for a purpose: "base", "candidate", "difference", "swap"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The difference of two models, as `assess` or `suite.combine` finds it.

    `base`, `candidate` in natural units; `difference` oriented. `lost`, `gained`: units that got worse or better, None
    for corpus metrics. `skill`: the base's score over chance, oriented, None where that is
    unknown; `at_chance`: it is not significant.
    `unit_loss`: the most that one unit can take from the score. `base_variance`, `base_covariance`: of the base's
    score, and of it with the difference, by the jackknife. `effective`: as how many changes of equal size those that
    were seen tell of their spread; `largest`: what the largest of them moves the score. `counts`: (gained, lost, sample
    size) of the score test, None where the p-values are resampled; `resampled`: p_forgotten and p_retained by
    resampling alone. `nulls`: differences under exchangeability, (swaps,). Without a margin the p-values at it are
    None.
    """

    units: int
    base: Interval
    candidate: Interval
    difference: Interval
    margin: float | None
    skill: float | None
    at_chance: bool
    lost: int | None = None
    gained: int | None = None
    changed: int = 0
    decreased: int = 0
    effective: float = 0.0
    largest: float = 0.0
    unit_loss: float = 0.0
    few_changes: bool = False
    p_forgotten: float | None = None
    p_retained: float | None = None
    p_difference: float | None = None
    counts: tuple[float, float, float] | None = None
    resampled: tuple[float, float] = (1.0, 1.0)
    bootstrap: Bootstrap | None = None
    base_variance: float = 0.0
    base_covariance: float = 0.0
    nulls: Floats | None = None

    @property
    def can_retain(self) -> bool:
        """Is the margin small against what the base can do, as far as that is known?"""
        return self.skill is None or (self.margin or 0.0) <= SKILL_SHARE * self.skill + 1e-12

    def verdict(self, p_forgotten: float, p_retained: float, alpha: float) -> Verdict:
        """The verdict by the rule of `decide`. `p_forgotten`: adjusted for its family."""
        return decide(
            p_forgotten,
            p_retained,
            alpha,
            units=self.units,
            can_retain=self.can_retain,
            at_chance=self.at_chance and self.units > 0,
        )

    def tested(self, p: ResampledP) -> Finding:
        """The same finding with these p-values."""
        return replace(
            self, p_forgotten=p.forgotten, p_retained=p.retained, few_changes=p.few_changes, resampled=p.unguarded
        )

    def examples_needed(self, alphas: tuple[float, float]) -> int | None:
        """Units that would decide; `alphas`: what p_forgotten (before adjustment) and p_retained must reach, 0 where
        they cannot.
        """
        if self.margin is None or not self.units:
            return None
        if self.counts is not None:
            return power.needed_by_counts(*self.counts, self.units, self.margin, alphas)
        return power.needed_by_scaling(
            self.resampled, self.units, self.changed, self.decreased, self.unit_loss * self.units, self.margin, alphas
        )


class ResampledP(NamedTuple):
    """p-values at a margin by resampling. `unguarded`: both as the resamples alone give them."""

    forgotten: float
    retained: float
    few_changes: bool
    unguarded: tuple[float, float]


def resampled_p(finding: Finding, margin: float, boot: Bootstrap | None = None) -> ResampledP:
    """p-values at the margin by resampling; while few units changed, p_retained is at least that of `full_loss_p`.
    `boot`: else `cautious`.
    """
    boot = boot or cautious(finding)
    forgotten, retained = boot.p_at_least(-margin), boot.p_at_most(-margin)
    few = finding.changed < ENOUGH_CHANGED
    reach = finding.unit_loss * finding.units
    guard = full_loss_p(finding.decreased, finding.units, reach, margin) if few else 0.0
    return ResampledP(forgotten, max(retained, guard), few, (forgotten, retained))


def cautious(finding: Finding) -> Bootstrap:
    """The finding's bootstrap with the standard error that one more change would give than was seen, as large as the
    largest of them; while few units changed, as large as any can be.

    A variance estimated from few changes is too small as often as the rare large one among them was missed. That it is
    estimated from the changes, not from all units, also leaves Student's t no more degrees of freedom than there are
    changes: fewer where some are much larger than others, as those of long dialogues are (`effective`, L. Kish, Survey
    Sampling, 1965, §11.7).
    """
    boot = finding.bootstrap
    if boot is None:
        raise ValueError("a finding without replicates has no bootstrap")
    if finding.changed < ENOUGH_CHANGED:
        return replace(boot, spread=math.hypot(boot.spread, finding.unit_loss))
    freedom = min(boot.freedom, max(1.0, finding.effective - 1))
    return replace(boot, spread=math.hypot(boot.spread, finding.largest), freedom=freedom)


def assess(pairs: Pairs, level: float, draw: Draw, effort: Effort = FULL, final: float | None = None) -> Finding:
    """Everything about one difference. Two-sided coverage of the intervals is `level`; of the difference's, `final`
    where that is given.

    Never raises for few, equal or opposite rows. No unit at all gives values of 0 without intervals and p-values of 1.
    """
    units = len(pairs.base)
    if units == 0:
        return _of_no_unit(pairs.margin)
    margin_p = None if pairs.margin is None else 1.0
    base = score_interval(pairs, pairs.base, level, draw("base"), effort)
    candidate = score_interval(pairs, pairs.candidate, level, draw("candidate"), effort)
    sums = np.concatenate([pairs.base.sum(axis=0), pairs.candidate.sum(axis=0)])
    worst = base.low if pairs.sign > 0 else base.high
    surely = pairs.skill(base.value if worst is None else worst)
    finding = Finding(
        units=units,
        base=base,
        candidate=candidate,
        difference=Interval(float(pairs.difference(sums))),
        margin=pairs.margin,
        skill=pairs.skill(base.value),
        at_chance=surely is not None and surely <= 0,
        unit_loss=unit_loss(pairs),
        p_forgotten=margin_p,
        p_retained=margin_p,
        p_difference=1.0,
    )
    finding = _with_changes(finding, pairs)
    if units >= 2:
        finding = _with_resamples(finding, pairs, draw, effort)
    coverage = level if final is None else final
    if pairs.kind == MetricKind.BINARY:
        return _by_counts(finding, pairs, coverage)
    finding = _by_resamples(finding, coverage)
    # no sample excludes a loss that is too rare to be seen and knows no bound
    return finding if pairs.bounded or pairs.margin is None else replace(finding, p_retained=1.0)


def _of_no_unit(margin: float | None) -> Finding:
    empty, p = Interval(0.0), None if margin is None else 1.0
    return Finding(
        units=0,
        base=empty,
        candidate=empty,
        difference=empty,
        margin=margin,
        skill=0.0,
        at_chance=True,
        p_forgotten=p,
        p_retained=p,
    )


def score_interval(
    pairs: Pairs, rows: Floats, level: float, rng: np.random.Generator, effort: Effort = FULL
) -> Interval:
    """One model's score, rows (n, width): Wilson's interval for 0/1 rows (at their effective number), resampled units
    for others.
    """
    value = float(pairs.score(rows.sum(axis=0)))
    if pairs.kind == MetricKind.BINARY:
        total = float(rows[:, 1].sum())
        effect = 1.0
        if rows[:, 1].max(initial=0) > 1:
            effect = proportion.design_effect(rows[:, 0], rows[:, 1], value * (1 - value))
            effect *= proportion.few_units(rows[:, 1])
        return Interval(value, *proportion.wilson(value * total / effect, total / effect, level))
    if len(rows) < 2:
        return Interval(value)
    return Interval(value, *bootstrap(rows, pairs.score, effort.describing, rng).interval(level))


def _with_changes(finding: Finding, pairs: Pairs) -> Finding:
    """The counts of changed units and how much they move the score. A corpus score's unit decreased if putting the
    base's row back would raise it.
    """
    if pairs.kind == MetricKind.CORPUS:
        moves = -pairs.sign * put_back(pairs)
    else:
        net = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0])
        moves = net[net != 0] / max(float(pairs.base[:, 1].sum()), 1e-300)
    decreased, squares = int((moves < 0).sum()), float(moves @ moves)
    counted = pairs.kind != MetricKind.CORPUS
    return replace(
        finding,
        changed=len(moves),
        decreased=decreased,
        largest=float(np.abs(moves).max(initial=0.0)),
        effective=float(np.abs(moves).sum()) ** 2 / squares if squares > 0 else 0.0,
        lost=decreased if counted else None,
        gained=len(moves) - decreased if counted else None,
    )


def _with_resamples(finding: Finding, pairs: Pairs, draw: Draw, effort: Effort) -> Finding:
    """Bootstrap and swaps over units, and how the base's score varies."""
    rows = np.hstack([pairs.base, pairs.candidate])
    replicates = effort.describing if pairs.margin is None else effort.deciding
    boot = bootstrap(rows, pairs.difference, replicates, draw("difference"))
    oriented: Score = lambda sums: pairs.sign * pairs.score(sums)  # noqa: E731
    nulls = swapped_differences(pairs.base, pairs.candidate, oriented, effort.swaps, draw("swap"))
    of_base, spreads = influence(pairs.base, oriented), len(rows) / (len(rows) - 1)
    return replace(
        finding,
        bootstrap=boot,
        nulls=nulls,
        p_difference=swap_p(pairs.base, pairs.candidate, oriented, nulls),
        base_variance=float(of_base @ of_base) * spreads,
        base_covariance=float(of_base @ influence(rows, pairs.difference)) * spreads,
    )


def _by_resamples(finding: Finding, level: float) -> Finding:
    """p-values at the margin and the difference's interval by the bootstrap; nothing for fewer than two units."""
    if finding.units < 2:
        return finding
    if finding.changed:
        ends = cautious(finding).interval(level)
    else:
        ends = unseen_interval(finding.units, finding.unit_loss * finding.units, level)
    finding = replace(finding, difference=Interval(finding.difference.value, *ends))
    return finding if finding.margin is None else finding.tested(resampled_p(finding, finding.margin))


def _by_counts(finding: Finding, pairs: Pairs, level: float) -> Finding:
    """The score test of 0/1 rows. Rows of a unit may depend on each other: counts are divided by the design effect of
    the difference.

    Only net changes of a unit are known; fewer changes make the design effect larger by as much, so the variance is
    that over units all the same.
    """
    net, sizes = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0]), pairs.base[:, 1]
    gained, lost, total = float(net[net > 0].sum()), float(-net[net < 0].sum()), float(sizes.sum())
    effect = 1.0
    if sizes.max() > 1:
        difference = (gained - lost) / total
        effect = proportion.design_effect(net, sizes, (gained + lost) / total - difference**2)
        effect *= proportion.few_units(sizes)
        if finding.changed < ENOUGH_CHANGED:  # too few to estimate dependence from
            effect = max(effect, proportion.whole_units(sizes))
    counts = (gained / effect, lost / effect, total / effect)
    ends = paired.tango_interval(*counts, level)
    finding = replace(finding, counts=counts, difference=Interval(finding.difference.value, *ends))
    if effect == 1.0 and sizes.max() <= 1:
        finding = replace(finding, p_difference=paired.mcnemar(int(gained), int(lost)))
    if pairs.margin is None:
        return finding
    p_forgotten, p_retained = p_at_margin(*counts, pairs.margin)
    few_changes = counts[0] + counts[1] < FEW_CHANGES
    return replace(finding, p_forgotten=p_forgotten, p_retained=p_retained, few_changes=few_changes)
