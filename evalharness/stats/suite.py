"""Combine the findings of gate units into one for the suite: the mean difference in units of the base's skill.

Skill is the base's score over chance. A difference divided by it says which share of what the base could do was lost.
The denominators are those of the full data and are held fixed in every resample: a resampled denominator may come near
zero where the base is little above chance, and the ratio's replicates then have no useful spread. What is tested is
thus a mean of differences with weights given by the base's observed skill; that the base's luck is in both is corrected
for in the tests and the interval, not in the value.

Stratified bootstrap, and Student's t over strata, as in `Bootstrap`: each unit's replicates are independent resamples
of its own rows, put in a random order and averaged. BCa's acceleration is left at 0: a mean over strata is nearly
symmetric, and skewness estimated from few changes only adds error. While fewer than ENOUGH_CHANGED units changed in
all, p_retained is at least that of every decrease taking the most that one unit could take from the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from evalharness.stats.assess import Finding, resampled_p
from evalharness.stats.pairs import Interval
from evalharness.stats.resample import Bootstrap, Floats, monte_carlo_p
from evalharness.stats.verdict import ENOUGH_CHANGED, unseen_interval

Weighing = Literal["units", "skill", "answers"]


def weights(findings: Sequence[Finding], by: Weighing = "units") -> Floats:
    """The factors of the findings' differences before they are added up, (findings,), so that losing all skill
    everywhere adds up to −1.

    "units": every gate unit counts the same (the plain mean of the shares that were lost). "skill": a unit counts by
    how much the base can do there (the share of all skill, added up over units). "answers": by skill times size (the
    share of all answers known beyond chance). The weights know nothing of the candidate, so each is a valid test, of
    its own question. Where sizes or skills differ, the later ones vary much less.
    """
    skill = np.array([finding.skill for finding in findings], dtype=np.float64)
    if by == "units":
        return 1 / (len(findings) * skill)
    counts = _counts(findings, by)
    return counts / float(counts @ skill)


def _counts(findings: Sequence[Finding], by: Weighing) -> Floats:
    return np.array([finding.units if by == "answers" else 1 for finding in findings], dtype=np.float64)


def combine(
    findings: Sequence[Finding], margin: float, level: float, rng: np.random.Generator, by: Weighing = "units"
) -> Finding:
    """One finding for the suite, in skill units: the base has 1, a candidate that lost everything 0. `by`: see
    `weights`. Its `bootstrap` is without the base's luck: `at_margin` tests it at another margin.

    Findings with no skill, or none that is known, or fewer than two units must have been left out. No finding gives
    values without intervals and p-values of 1. Raises ValueError for a finding without replicates.
    """
    if not findings:
        return _of_no_finding(margin)
    whole = Interval(1.0)
    scales = weights(findings, by).tolist()
    value = sum(weight * finding.difference.value for weight, finding in zip(scales, findings, strict=True))
    replicates, nulls = _summed(findings, scales, rng)
    units, changed = sum(finding.units for finding in findings), sum(finding.changed for finding in findings)
    luck = _luck(findings, by)
    boot = Bootstrap(value - luck, np.sort(replicates - luck), 0.0, *_freedom_and_spread(findings, scales))
    largest = max(weight * finding.unit_loss for weight, finding in zip(scales, findings, strict=True))
    low, high = boot.interval(level) if changed else unseen_interval(units, largest * units, level)
    low, high = min(low, value), max(high, value)
    countable = all(finding.lost is not None for finding in findings)
    suite = Finding(
        units=units,
        base=whole,
        candidate=Interval(1 + value, 1 + low, 1 + high),
        difference=Interval(value, low, high),
        margin=margin,
        skill=1.0,
        at_chance=False,
        lost=sum(finding.lost or 0 for finding in findings) if countable else None,
        gained=sum(finding.gained or 0 for finding in findings) if countable else None,
        changed=changed,
        decreased=sum(finding.decreased for finding in findings),
        unit_loss=largest,
        p_difference=monte_carlo_p(value, nulls),
        bootstrap=boot,
    )
    return suite.tested(resampled_p(suite, margin, boot))


def _of_no_finding(margin: float) -> Finding:
    whole = Interval(1.0)
    return Finding(
        units=0,
        base=whole,
        candidate=whole,
        difference=Interval(0.0),
        margin=margin,
        skill=1.0,
        at_chance=False,
        p_forgotten=1.0,
        p_retained=1.0,
        p_difference=1.0,
    )


def _summed(findings: Sequence[Finding], scales: Sequence[float], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Replicates and null differences of the findings, weighted and added up, (replicates,) and (swaps,). Raises
    ValueError for a finding without them.
    """
    replicates, nulls = np.zeros(1), np.zeros(1)
    for weight, finding in zip(scales, findings, strict=True):
        if finding.bootstrap is None or finding.nulls is None:
            raise ValueError("a finding without replicates cannot enter the suite")
        replicates = replicates + weight * rng.permutation(finding.bootstrap.replicates)
        nulls = nulls + weight * finding.nulls
    return replicates, nulls


def at_margin(suite: Finding, margin: float) -> tuple[float, float]:
    """p_forgotten and p_retained of a suite's finding at another margin than its own; without replicates 1."""
    if suite.bootstrap is None:
        return 1.0, 1.0
    p = resampled_p(suite, margin, suite.bootstrap)
    return p.forgotten, p.retained


def mean_difference(findings: Sequence[Finding], level: float, rng: np.random.Generator) -> Interval | None:
    """The plain mean of differences on one scale, every finding counting the same, with its interval; None for none.

    It is `combine` with a skill of 1 that is no estimate. Every finding must have replicates.
    """
    if not findings:
        return None
    of_one = [replace(finding, skill=1.0, base_variance=0.0, base_covariance=0.0) for finding in findings]
    return combine(of_one, 0.0, level, rng).difference


def _luck(findings: Sequence[Finding], by: Weighing) -> float:
    """The expected excess of the suite's value over the truth: the bias of a ratio to second order (Cochran, Sampling
    Techniques, 1977, §6.8).

    Where the base was lucky its skill is overstated and part of its luck goes when the candidate answers: losses are
    divided by too much, gains by too little. With 100 answers, one in ten of which changes, that is an eighth of a
    margin of .02, in every unit alike.
    """
    skill = np.array([finding.skill for finding in findings], dtype=np.float64)
    gain = np.array([finding.difference.value for finding in findings])
    variance, covariance = np.array([(finding.base_variance, finding.base_covariance) for finding in findings]).T
    if by == "units":
        return float((gain * variance / skill**3 - covariance / skill**2).mean())
    counts = _counts(findings, by)
    whole = float(counts @ skill)
    return float((counts @ gain) * (counts**2 @ variance) / whole**3 - counts**2 @ covariance / whole**2)


def _freedom_and_spread(findings: Sequence[Finding], scales: Sequence[float]) -> tuple[float, float]:
    """Degrees of freedom and standard error of the suite's value, with one more changed unit than was seen, where it
    weighs most.

    The variances of the strata add up; a small unit that rules the sum lends it its few degrees of freedom (F. E.
    Satterthwaite 1946, Biometrics Bulletin 2:110-114). In such a unit a few changes, or none, say little of its
    variance: hence the one more. Where changes are many, or no unit weighs more than the others, it is nothing.
    """
    parts, one_more, uncertain = [], 0.0, 0.0
    for weight, finding in zip(scales, findings, strict=True):
        part = (weight * finding.bootstrap.spread) ** 2 if finding.bootstrap else 0.0
        each = part / finding.changed if finding.changed else 0.0
        if finding.changed < ENOUGH_CHANGED:
            each = max(each, (weight * finding.unit_loss) ** 2)
        parts.append(part)
        one_more, uncertain = max(one_more, each), uncertain + part**2 / (finding.units - 1)
    variance, most = sum(parts) + one_more, float(max(1, sum(finding.units for finding in findings) - len(findings)))
    return min(most, variance**2 / uncertain) if uncertain > 1e-300 else most, float(np.sqrt(variance))
