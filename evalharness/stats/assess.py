"""Assess the difference of two models on the same units: intervals, p-values at the margin, counts of changes.

A unit is what was drawn independently: a question, or a passage with all its questions. The margin is the largest
acceptable loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evalharness.stats import paired, proportion
from evalharness.stats.enums import MetricKind, Verdict
from evalharness.stats.gaffke import WeightedMean
from evalharness.stats.pairs import Interval, Pairs, changed_units, net_changes, unit_loss
from evalharness.stats.resample import SWAPS, Floats, Score, influence, swap_p
from evalharness.stats.verdict import decide, is_small, p_at_margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The difference of two models on one task, group or suite, computed by `assess` or `suite.combine`.

    `units`: their number. `base`, `candidate`: the scores in the metric's natural unit. `difference`: candidate minus
    base, with the sign turned so that + is better. `margin`: the largest acceptable loss; None: the p-values at it are
    None, too. `skill`: the base's score over chance, None if chance is unknown. `at_chance`: the skill is not
    significant. `bounded`: the metric states a finite range. `lost`, `gained`: units that got worse or better, None for
    corpus metrics. `changed`: units that changed at all. `noise`: by how much the tests at the margin and the interval
    of the difference are widened on either side, because the engine's answers vary (engine_noise.py). The tests use
    `counts` (gained, lost, sample size) of 0/1 answers. If there are none, they use `mean`, the difference as a mean
    over units (None without units). Of a suite, `capped` is the mean that p_retained tests, and `single` its only unit,
    if it has one.
    """

    units: int
    base: Interval
    candidate: Interval
    difference: Interval
    margin: float | None
    skill: float | None
    at_chance: bool
    bounded: bool = True
    lost: int | None = None
    gained: int | None = None
    changed: int = 0
    p_forgotten: float | None = None
    p_retained: float | None = None
    p_difference: float | None = None
    counts: tuple[float, float, float] | None = None
    mean: WeightedMean | None = None
    capped: WeightedMean | None = None
    single: Finding | None = None
    noise: float = 0.0

    @property
    def can_retain(self) -> bool:
        """Whether "retained" is possible: the base is above chance, the margin small against its skill, the range
        finite.
        """
        small = self.skill is None or is_small(self.margin or 0.0, self.skill)
        return self.bounded and small and not self.at_chance

    def verdict(self, p_forgotten: float, p_retained: float, alpha: float) -> Verdict:
        """Return the verdict at error rate `alpha`, "forgotten", "retained" or "inconclusive"; `verdict.decide` states
        the rule.

        `p_forgotten`: of the null that the loss is within the margin, adjusted for multiple tests. `p_retained`: of the
        null that the loss is beyond the margin.
        """
        return decide(p_forgotten, p_retained, alpha, units=self.units, can_retain=self.can_retain)

    def p_at(self, margin: float) -> tuple[float, float]:
        """Return (p_forgotten, p_retained) at any margin; both are 1 if there is nothing to test."""
        if self.counts is not None:
            return p_at_margin(*self.counts, margin)
        if self.single is not None:
            return self.single.p_at(margin * (self.single.margin or 0.0))
        if self.mean is None:
            return 1.0, 1.0
        return self.mean.p_at_least(-margin), (self.capped or self.mean).p_at_most(-margin)


def assess(
    pairs: Pairs, level: float, rng: np.random.Generator, swaps: int = SWAPS, final: float | None = None
) -> Finding:
    """Compute the scores, the difference, their intervals and all p-values.

    `level`: two-sided coverage of the intervals. `final`: coverage of the difference's interval, None: the same. `rng`
    draws `swaps` random swaps of the two models' rows, which only p_difference needs.

    Never raises for few, equal or opposite rows. Without units the values are 0 without intervals, and p-values are 1.
    """
    finding, units = assess_at_margin(pairs, level), len(pairs.base)
    if not units:
        return finding
    coverage = level if final is None else final
    scores = [score_interval(pairs, rows, level) for rows in (pairs.base, pairs.candidate)]
    finding = replace(finding, base=scores[0], candidate=scores[1])
    if finding.counts is not None:
        ends = paired.tango_interval(*finding.counts, coverage)
        finding = replace(finding, difference=Interval(finding.difference.value, *ends))
    elif finding.mean is not None:
        low, high = finding.mean.interval(coverage)
        most = pairs.high - pairs.low  # a corpus score's influences are unbounded
        finding = replace(finding, difference=Interval(finding.difference.value, max(low, -most), min(high, most)))
    if finding.p_difference is None:
        oriented: Score = lambda sums: pairs.sign * pairs.score(sums)  # noqa: E731
        finding = replace(finding, p_difference=swap_p(pairs.base, pairs.candidate, oriented, swaps, rng))
    return finding


def assess_at_margin(pairs: Pairs, level: float) -> Finding:
    """Compute only what a verdict needs, in a tenth of the time: no intervals, and no p_difference from random swaps.
    `level`: coverage of the interval that must exclude chance.
    """
    units, bounded = len(pairs.base), pairs.bounded
    empty = Interval(0.0)
    finding = Finding(
        units=units,
        base=Interval(float(pairs.score(pairs.base.sum(axis=0)))) if units else empty,
        candidate=Interval(float(pairs.score(pairs.candidate.sum(axis=0)))) if units else empty,
        difference=Interval(difference_of(pairs)) if units else empty,
        margin=pairs.margin,
        skill=None if pairs.chance is None else 0.0,
        at_chance=pairs.chance is not None,
        bounded=bounded,
        p_forgotten=None if pairs.margin is None else 1.0,
        p_retained=None if pairs.margin is None else 1.0,
        p_difference=1.0 if units == 1 else None,
    )
    if not units:
        return finding
    finding = replace(finding, skill=pairs.skill(finding.base.value), at_chance=_at_chance(pairs, level))
    finding = _with_changes(finding, pairs)
    finding = replace(finding, mean=mean_of(pairs))
    if pairs.kind == MetricKind.BINARY:
        finding = _by_counts(finding, pairs)
    if pairs.margin is None:
        return finding
    p_forgotten, p_retained = finding.p_at(pairs.margin)
    return replace(finding, p_forgotten=p_forgotten, p_retained=p_retained if bounded else 1.0)


def difference_of(pairs: Pairs) -> float:
    """Return the difference of the two scores, with the sign turned so that + is better."""
    return float(pairs.difference(np.concatenate([pairs.base.sum(axis=0), pairs.candidate.sum(axis=0)])))


def mean_of(pairs: Pairs) -> WeightedMean:
    """Return the difference as a mean over units.

    This is exact for Σ row[0] / Σ row[1] with equal weights. Other scores are linearised by their jackknife influences.
    One more unit moves a corpus score, or a score without a finite range, by at most `unit_loss`.
    """
    value, units = difference_of(pairs), len(pairs.base)
    if pairs.kind != MetricKind.CORPUS and np.array_equal(pairs.base[:, 1], pairs.candidate[:, 1]):
        shares = pairs.base[:, 1] / pairs.base[:, 1].sum()
        added = net_changes(pairs) / pairs.base[:, 1].sum()
        moves = added - added.sum() * shares
    elif units == 1:
        shares, moves = np.ones(1), np.zeros(1)
    else:
        shares = np.full(units, 1 / units)
        moves = influence(np.hstack([pairs.base, pairs.candidate]), pairs.difference)
        moves = moves - moves.mean()
    share, reach = float(shares.max()), pairs.high - pairs.low
    if pairs.kind == MetricKind.CORPUS or not pairs.bounded:
        loss = unit_loss(pairs)
        return WeightedMean.from_units(
            value, moves, shares, (min(value, 0.0) * share - loss, max(value, 0.0) * share + loss)
        )
    return WeightedMean.from_units(value, moves, shares, (-reach * share, reach * share))


def score_interval(pairs: Pairs, rows: Floats, level: float) -> Interval:
    """Return the score of one model's rows (n, width) with its interval: Wilson's for 0/1 rows (with their effective
    number), else Gaffke's.
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
    low, high = _score_mean(pairs, rows).interval(level)
    return Interval(value, max(low, min(pairs.low, value)), min(high, max(pairs.high, value)))


def _score_mean(pairs: Pairs, rows: Floats) -> WeightedMean:
    """Return one model's score as a mean over units, at least two of them."""
    value, units, mean = float(pairs.score(rows.sum(axis=0))), len(rows), pairs.kind != MetricKind.CORPUS
    shares = rows[:, 1] / rows[:, 1].sum() if mean else np.full(units, 1 / units)
    moves = rows[:, 0] / rows[:, 1].sum() - value * shares if mean else influence(rows, pairs.score)
    share, moves = float(shares.max()), moves - moves.mean()
    if mean and pairs.bounded:
        return WeightedMean.from_units(value, moves, shares, (pairs.low * share, pairs.high * share))
    return WeightedMean.from_unbounded(value, moves, shares)


def _at_chance(pairs: Pairs, level: float) -> bool:
    """Return whether the base's score is not significantly above chance; False if chance is unknown.

    It uses the end of the score's interval, or the p-value at chance where that is quicker to compute.
    """
    if pairs.chance is None:
        return False
    if pairs.kind == MetricKind.BINARY or len(pairs.base) < 2:
        score = score_interval(pairs, pairs.base, level)
        worst = score.low if pairs.sign > 0 else score.high
        return (pairs.skill(score.value if worst is None else worst) or 0.0) <= 0
    mean = _score_mean(pairs, pairs.base)
    p = mean.p_at_most(pairs.chance) if pairs.sign > 0 else mean.p_at_least(pairs.chance)
    return p > (1 - level) / 2


def _with_changes(finding: Finding, pairs: Pairs) -> Finding:
    """Add the counts of changed units; a unit of a corpus score has no direction."""
    if pairs.kind == MetricKind.CORPUS:
        return replace(finding, changed=int(changed_units(pairs).sum()))
    net = net_changes(pairs)
    lost, gained = int((net < 0).sum()), int((net > 0).sum())
    return replace(finding, changed=lost + gained, lost=lost, gained=gained)


def _by_counts(finding: Finding, pairs: Pairs) -> Finding:
    """Add the counts for the score test of 0/1 rows, divided by the design effect: rows of a unit may be dependent.

    Only net changes of a unit are known. That lowers the counts and raises the design effect by the same factor, so the
    variance is still that over units.
    """
    net, sizes = net_changes(pairs), pairs.base[:, 1]
    gained, lost, total = float(net[net > 0].sum()), float(-net[net < 0].sum()), float(sizes.sum())
    effect = 1.0
    if sizes.max() > 1:
        difference = (gained - lost) / total
        effect = proportion.design_effect(net, sizes, (gained + lost) / total - difference**2)
        effect *= proportion.few_units(sizes)
        if finding.changed < proportion.ENOUGH_CHANGED:
            effect = max(effect, proportion.whole_units(sizes))
    counts = (gained / effect, lost / effect, total / effect)
    finding = replace(finding, counts=counts)
    if effect == 1.0 and sizes.max() <= 1:
        finding = replace(finding, p_difference=paired.mcnemar(int(gained), int(lost)))
    return finding
