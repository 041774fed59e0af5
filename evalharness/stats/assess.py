"""Two models' rows on the same units to all that is found of their difference: intervals, p-values at a margin, counts
of changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from evalharness.stats import paired, power, proportion
from evalharness.stats.enums import MetricKind, Verdict
from evalharness.stats.exact import FEW_CHANGES
from evalharness.stats.resample import Bootstrap, Floats, Score, bootstrap, influence, swap_p, swapped_differences
from evalharness.stats.verdict import ENOUGH_CHANGED, SKILL_SHARE, decide, full_loss_p, p_at_margin, unseen_interval


class Effort(NamedTuple):
    """How many resamples: of a difference that decides, of anything else, and of swaps. Fewer only add noise: for
    simulations.
    """

    deciding: int = 10_000
    describing: int = 2_000
    swaps: int = 4_000


FULL = Effort()

Draw = Callable[[str], np.random.Generator]
"""A Generator for a purpose: "base", "candidate", "difference", "swap"."""


class Interval(NamedTuple):
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two models scored on the same n units, rows (n, width), and how to read it.

    Binary and graded scores are Σ row[0] / Σ row[1], values in [low, high]; a corpus score is any function of the
    summed rows. `sizes` (n,): examples in each unit. `sign`: −1 where a lower score is better. `chance` and `margin` in
    the metric's natural unit; no margin: only described. `lots` (n,): numbers in [0, 1) by which units are asked in
    turn, where a run may stop before all were.
    """

    base: Floats
    candidate: Floats
    sizes: Floats
    score: Score
    kind: MetricKind
    low: float
    high: float
    sign: float
    chance: float
    margin: float | None
    lots: Floats | None = None

    def difference(self, rows: Floats) -> Floats:
        """Score of rows (..., 2 × width), base and candidate side by side, oriented so that + is better. -> (...)"""
        width = self.base.shape[1]
        return self.sign * (self.score(rows[..., width:]) - self.score(rows[..., :width]))


@dataclass(frozen=True, slots=True)
class Finding:
    """`base`, `candidate` in natural units; `difference` oriented. `lost`, `gained`: units that got worse or better,
    None for corpus metrics.

    `skill`: the base's score over chance, oriented; `at_chance`: it is not significant. `unit_loss`: the most that one
    unit can take from the score. `base_variance`, `base_covariance`: of the base's score, and of it with the
    difference, by the jackknife.
    `effective`: as how many changes of equal size those that were seen tell of their spread; `largest`: what the
    largest of them moves the score.
    `counts`: (gained, lost, sample size) of the score test, None where the p-values are resampled; `resampled`:
    p_forgotten and p_retained by resampling alone. `nulls`: differences under exchangeability, (swaps,). Without a
    margin the p-values at it are None.
    """

    units: int
    base: Interval
    candidate: Interval
    difference: Interval
    margin: float | None
    skill: float
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
        """Is the margin small against what the base can do?"""
        return (self.margin or 0.0) <= SKILL_SHARE * self.skill + 1e-12

    def verdict(self, p_forgotten: float, p_retained: float, alpha: float) -> Verdict:
        """`p_forgotten`: adjusted for its family."""
        return decide(
            p_forgotten,
            p_retained,
            alpha,
            units=self.units,
            can_retain=self.can_retain,
            at_chance=self.at_chance and self.units > 0,
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


def assess(pairs: Pairs, level: float, draw: Draw, effort: Effort = FULL, final: float | None = None) -> Finding:
    """Everything about one difference. Two-sided coverage of the intervals is `level`; of the difference's, `final`
    where that is given.

    Never raises for few, equal or opposite rows.

    No unit at all gives values of 0 without intervals and p-values of 1.
    """
    units = len(pairs.base)
    margin_p = None if pairs.margin is None else 1.0
    if units == 0:
        empty = Interval(0.0)
        return Finding(0, empty, empty, empty, pairs.margin, 0.0, True, p_forgotten=margin_p, p_retained=margin_p)
    base = score_interval(pairs, pairs.base, level, draw("base"), effort)
    candidate = score_interval(pairs, pairs.candidate, level, draw("candidate"), effort)
    changes = _changes(pairs)
    value = float(pairs.difference(np.concatenate([pairs.base.sum(axis=0), pairs.candidate.sum(axis=0)])))
    worst = base.low if pairs.sign > 0 else base.high
    fields: dict[str, Any] = {
        "units": units, "base": base, "candidate": candidate, "margin": pairs.margin,
        "skill": pairs.sign * (base.value - pairs.chance),
        "at_chance": pairs.sign * ((base.value if worst is None else worst) - pairs.chance) <= 0,
        **changes, "unit_loss": unit_loss(pairs),
        "p_forgotten": margin_p, "p_retained": margin_p, "p_difference": 1.0,
    }  # fmt: skip
    if units >= 2:
        fields |= _resampled(pairs, draw, effort)
    if pairs.kind == MetricKind.BINARY:
        fields |= _counted(pairs, changes["changed"], level if final is None else final)
        return Finding(difference=Interval(value, *fields.pop("ends")), **fields)
    found = Finding(difference=Interval(value), **fields)
    if units < 2:
        return found
    found = replace(found, **resampled_p(found, pairs.margin)) if pairs.margin is not None else found
    coverage = level if final is None else final
    ends = (
        cautious(found).interval(coverage)
        if found.changed
        else unseen_interval(units, found.unit_loss * units, coverage)
    )
    return replace(found, difference=Interval(value, *ends))


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
            effect = proportion.design_effect(rows[:, 0], rows[:, 1], value * (1 - value)) * proportion.few_units(
                rows[:, 1]
            )
        return Interval(value, *proportion.wilson(value * total / effect, total / effect, level))
    if len(rows) < 2:
        return Interval(value)
    return Interval(value, *bootstrap(rows, pairs.score, effort.describing, rng).interval(level))


def unit_loss(pairs: Pairs) -> float:
    """The most that one unit can take from the score: its share of the range.

    A corpus score gives no share to a unit (in F1 a rare class weighs more). There it is also at least what any changed
    unit is seen to move, and twice the largest change that leaving one unit out makes to the base's score: a unit that
    goes wrong is one left out and another put in.
    """
    share = (pairs.high - pairs.low) * float(pairs.sizes.max() / max(pairs.sizes.sum(), 1.0))
    if pairs.kind != MetricKind.CORPUS or len(pairs.base) < 2:
        return share
    whole = pairs.base.sum(axis=0)
    left_out = float(np.abs(pairs.score(whole - pairs.base) - pairs.score(whole)).max())
    return max(share, 2 * left_out, float(np.abs(_put_back(pairs)).max(initial=0.0)))


def _changes(pairs: Pairs) -> dict[str, Any]:
    """Counts of changed units and how much they move the score. A corpus score's unit decreased if putting the base's
    row back would raise it.
    """
    if pairs.kind == MetricKind.CORPUS:
        moves = -pairs.sign * _put_back(pairs)
    else:
        net = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0])
        moves = net[net != 0] / max(float(pairs.base[:, 1].sum()), 1e-300)
    decreased, squares = int((moves < 0).sum()), float(moves @ moves)
    found = {"changed": len(moves), "decreased": decreased, "largest": float(np.abs(moves).max(initial=0.0))}
    found["effective"] = float(np.abs(moves).sum()) ** 2 / squares if squares > 0 else 0.0
    return found if pairs.kind == MetricKind.CORPUS else found | {"lost": decreased, "gained": len(moves) - decreased}


def _put_back(pairs: Pairs) -> Floats:
    """What it does to the candidate's score to give one changed unit the base's row, (changed,)."""
    changed = np.any(pairs.base != pairs.candidate, axis=1)
    whole = pairs.candidate.sum(axis=0)
    return pairs.score(whole + (pairs.base - pairs.candidate)[changed]) - pairs.score(whole)


def _counted(pairs: Pairs, changed: int, level: float) -> dict[str, Any]:
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
        effect = proportion.design_effect(net, sizes, (gained + lost) / total - difference**2) * proportion.few_units(
            sizes
        )
        if changed < ENOUGH_CHANGED:  # too few to estimate dependence from
            effect = max(effect, proportion.whole_units(sizes))
    counts = (gained / effect, lost / effect, total / effect)
    found: dict[str, Any] = {"counts": counts, "ends": paired.tango_interval(*counts, level)}
    if effect == 1.0 and sizes.max() <= 1:
        found["p_difference"] = paired.mcnemar(int(gained), int(lost))
    if pairs.margin is not None:
        p_forgotten, p_retained = p_at_margin(*counts, pairs.margin)
        found |= {
            "p_forgotten": p_forgotten,
            "p_retained": p_retained,
            "few_changes": counts[0] + counts[1] < FEW_CHANGES,
        }
    return found


def _resampled(pairs: Pairs, draw: Draw, effort: Effort) -> dict[str, Any]:
    """Bootstrap and swaps over units, and how the base's score varies."""
    rows = np.hstack([pairs.base, pairs.candidate])
    decides = pairs.margin is not None
    boot = bootstrap(rows, pairs.difference, effort.deciding if decides else effort.describing, draw("difference"))
    oriented: Score = lambda sums: pairs.sign * pairs.score(sums)  # noqa: E731
    nulls = swapped_differences(pairs.base, pairs.candidate, oriented, effort.swaps, draw("swap"))
    of_base, spreads = influence(pairs.base, oriented), len(rows) / (len(rows) - 1)
    return {
        "bootstrap": boot,
        "nulls": nulls,
        "p_difference": swap_p(pairs.base, pairs.candidate, oriented, nulls),
        "base_variance": float(of_base @ of_base) * spreads,
        "base_covariance": float(of_base @ influence(rows, pairs.difference)) * spreads,
    }


def cautious(found: Finding) -> Bootstrap:
    """The finding's bootstrap with the standard error that one more change would give than was seen, as large as the
    largest of them; while few units changed, as large as any can be.

    A variance estimated from few changes is too small as often as the rare large one among them was missed. That it is
    estimated from the changes, not from all units, also leaves Student's t no more degrees of freedom than there are
    changes: fewer where some are much larger than others, as those of long dialogues are (`effective`, L. Kish, Survey
    Sampling, 1965, §11.7).
    """
    boot = found.bootstrap
    if boot is None:
        raise ValueError("a finding without replicates has no bootstrap")
    if found.changed < ENOUGH_CHANGED:
        return replace(boot, spread=math.hypot(boot.spread, found.unit_loss))
    return replace(
        boot, spread=math.hypot(boot.spread, found.largest), freedom=min(boot.freedom, max(1.0, found.effective - 1))
    )


def resampled_p(found: Finding, margin: float, boot: Bootstrap | None = None) -> dict[str, Any]:
    """p-values at the margin by resampling; while few units changed, p_retained is at least that of `full_loss_p`.
    `boot`: else `cautious`.
    """
    boot = boot or cautious(found)
    forgotten, retained = boot.p_at_least(-margin), boot.p_at_most(-margin)
    few = found.changed < ENOUGH_CHANGED
    guarded = (
        max(retained, full_loss_p(found.decreased, found.units, found.unit_loss * found.units, margin))
        if few
        else retained
    )
    return {"p_forgotten": forgotten, "p_retained": guarded, "few_changes": few, "resampled": (forgotten, retained)}
