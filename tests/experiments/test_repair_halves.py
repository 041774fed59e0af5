"""Why there are halves: a λ that looks best on some rows is called kept on those too often, and on others not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evalharness.experiments.repair_rules import RepairRule, choose, next_scale
from evalharness.records.comparison import Estimate
from evalharness.report.repair import PathPoint
from evalharness.stats.assess import Finding, assess
from evalharness.stats.enums import Verdict
from evalharness.stats.redraw import draw_answers
from evalharness.stats.suite import combine

ALPHA, MARGIN, ROWS, TIMES = 0.05, 0.05, 300, 1500
LEVEL = 1 - 2 * ALPHA


def at_the_margin(rng: np.random.Generator) -> Finding:
    """A suite of one unit on one half, of a model that lost exactly its margin."""
    draw = draw_answers(ROWS, 0.8, 0.15, 0.25, MARGIN)
    assert draw is not None
    return combine([assess(replace(draw(rng), margin=MARGIN), LEVEL, rng, 1)], LEVEL)


def kept(suite: Finding) -> bool:
    assert suite.single is not None and suite.p_forgotten is not None and suite.p_retained is not None
    return suite.single.verdict(suite.p_forgotten, suite.p_retained, ALPHA) == Verdict.RETAINED


def searched(rule: RepairRule, rng: np.random.Generator) -> tuple[bool, bool] | None:
    """Is the chosen λ called kept on the half that chose it, and on the other? None where none was chosen."""
    found: dict[float, Finding] = {}
    ends = [(0.0, 0.0, 0.0), (1.0, 1.0, -5.0)]
    points = [
        PathPoint(scale=scale, gain=Estimate(value=gain), suite=Estimate(value=suite), fingerprint="")
        for scale, gain, suite in ends
    ]
    while (scale := next_scale(rule, points)) is not None:
        found[scale] = at_the_margin(rng)
        value, low, high = found[scale].difference
        suite = Estimate(value=value, low=low, high=high)
        points.append(PathPoint(scale=scale, gain=Estimate(value=0.5), suite=suite, fingerprint=""))
    chosen = choose(rule, points)
    return None if chosen is None else (kept(found[chosen.scale]), kept(at_the_margin(rng)))


@pytest.mark.slow
@pytest.mark.parametrize("rule", RepairRule)
def test_the_half_that_chose_calls_too_much_kept_and_the_other_does_not(rule: RepairRule) -> None:
    rng = np.random.default_rng(20)
    drawn = [searched(rule, rng) for _ in range(TIMES)]
    by_a, by_b = (sum(each[half] for each in drawn if each is not None) for half in (0, 1))
    choices = sum(each is not None for each in drawn)
    print(
        f"\n{rule}: {choices:,} choices in {TIMES:,}; kept by half A {by_a / TIMES:.3f}, by half B {by_b / choices:.3f}"
    )
    assert by_a / TIMES > 3 * ALPHA, "six looks at the same rows err far more often than one may"
    assert by_b / choices < ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / choices)
