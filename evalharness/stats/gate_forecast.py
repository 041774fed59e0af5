"""Forecast how often the gate passes or fails if nothing is lost, by drawing answers of its units again and again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from evalharness.stats.assess import Finding, assess
from evalharness.stats.enums import Verdict
from evalharness.stats.forecast import Rule, replicates, verdict_of
from evalharness.stats.multiplicity import holm
from evalharness.stats.power import smallest_value
from evalharness.stats.redraw import Drawing
from evalharness.stats.resample import Effort
from evalharness.stats.suite import at_margin, combine
from evalharness.stats.verdict import SKILL_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
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
        inside = min(max(share, 1 / self.draws), 1 - 1 / self.draws)
        return math.sqrt(inside * (1 - inside) / self.draws)


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
    outcomes, certified = Counter[str](), list[float]()
    effort, level = Effort(deciding=replicates(len(drawings)), describing=400, swaps=1), 1 - 2 * rule.alpha
    for _ in range(times):
        pairs = [replace(draw(rng), margin=margin) for draw, margin in zip(drawings, margins, strict=True)]
        findings = [assess(each, level, lambda purpose: rng, effort) for each in pairs]
        adjusted = zip(findings, holm([finding.p_forgotten or 0.0 for finding in findings]), strict=True)
        verdicts = [verdict_of(finding, p, rule.alpha, rule.alpha) for finding, p in adjusted]
        able = [each for each in findings if each.skill is not None and not each.at_chance and each.units >= 2]
        suite = combine(able, suite_margin, level, rng)
        whole = verdict_of(suite, suite.p_forgotten or 0.0, rule.alpha, rule.alpha)
        retained_at = partial(_retained_at, suite, rule.alpha)
        certified.append(smallest_value(retained_at, 0.0, 1.0, near=0.02))
        forgotten = Verdict.FORGOTTEN in (whole, *verdicts)
        outcomes["fails" if forgotten else "passes" if whole == Verdict.RETAINED else "undecided"] += 1
        outcomes["all"] += all(verdict == Verdict.RETAINED for verdict in verdicts)
    margin = float(np.quantile(certified, rule.power, method="higher"))
    return GateOdds(
        passes=outcomes["passes"] / times,
        fails=outcomes["fails"] / times,
        undecided=outcomes["undecided"] / times,
        all_retained=outcomes["all"] / times,
        certifiable=margin if margin <= SKILL_SHARE else None,
        draws=times,
    )


def _retained_at(suite: Finding, alpha: float, margin: float) -> bool:
    return at_margin(suite, margin)[1] <= alpha
