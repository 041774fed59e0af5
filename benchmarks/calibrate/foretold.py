"""Compare what `plan` predicts for a task with verdicts on newly drawn data: margins certified, and drops detected.

Independent 0/1 answers are foretold from the share of them that changes; all others from the rows of an earlier run
(EARLIER units of a candidate that lost nothing), as `plan --from` does. Each is asked at the very margin, or drop, that
was foretold to come out with probability POWER.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from margin import ALPHA, LEVEL, WORLDS, found_in, options_text, verdict
from worlds import Answers, World

from evalharness.stats.assess import assess_at_margin
from evalharness.stats.forecast import Rule, simulated_outlook
from evalharness.stats.pairs import Pairs
from evalharness.stats.power import certifiable_margin, detectable_drop, odds
from evalharness.stats.redraw import redraw_units

POWER = 0.8
EARLIER = 4000  # units
UNITS = 15  # in the family of Holm's adjustment


@dataclass(frozen=True)
class Plan:
    """`world` and its options, without a drop. Asked are the margin that is certified, and the drop that is found at
    the world's own `margin`.
    """

    group: str
    world: str
    options: tuple[tuple[str, Any], ...]
    units: int
    draws: int
    margin: float = 0.02

    @property
    def name(self) -> str:
        return options_text(self.options)

    def build(self, drop: float, units: int | None = None) -> World:
        size = {"units" if "units" in dict(self.options) else "n": units or self.units}
        return WORLDS[self.world](**{**dict(self.options), **size, "drop": drop, "margin": self.margin})


def cases(scale: float = 1.0) -> Iterator[Plan]:
    def plan(group: str, world: str, units: int, draws: int = 1000, margin: float = 0.02, /, **options: Any) -> Plan:
        return Plan(group, world, tuple(options.items()), units, max(4, round(draws * scale)), margin)

    for n in (100, 300, 500, 2000):
        for flips in (0.03, 0.1, 0.2):
            yield plan("0/1", "answers", n, 4000, n=n, flips=flips)
    for units, flips, together in ((100, 0.2, 0.3), (400, 0.1, 0.3), (400, 0.2, 0.8)):
        yield plan("passages", "passages", units, units=units, size=5, flips=flips, together=together, uneven=True)
    for n, shape in ((100, "of any size"), (300, "small"), (500, "of any size")):
        yield plan("summaries", "summaries", n, n=n, flips=0.2, shape=shape)
    for units in (100, 400):
        yield plan("dialogues", "dialogues", units, units=units, size=5, flips=0.3, together=0.3, shape="of any size")
    for n, metric, shares in ((300, "f1", (0.7, 0.3)), (300, "mcc", (0.5, 0.5)), (500, "f1,macro", (0.5, 0.4, 0.1))):
        yield plan("F1 and MCC", "confusions", n, n=n, metric=metric, shares=shares, flips=0.2)
    yield plan("BLEU", "translations", 300, 1000, 1.0, n=300, flips=1.0)


def measure(case: Plan, seed: int) -> dict[str, Any]:
    """What was foretold beside what was seen where everything is as it was assumed: the same share of changes, or the
    same rows drawn again. Beside that, in the world itself, of which an earlier run shows a sample and which loses in
    its own way ("otherwise"; None: it cannot, or is no other). Reproducible from the seed and the case.
    """
    rng = np.random.default_rng([seed, *repr(case).encode()])
    losing: Callable[[float], World | None]
    margin: float | None
    if case.world == "answers":
        (margin, retained), (drop, forgotten) = _enumerated(case)
        draws, losing = 0, case.build
    else:
        losing = partial(redraw_units, case.build(0.0, EARLIER)(rng), case.units)
        outlook = simulated_outlook(
            losing, Rule(margin=case.margin, alpha=ALPHA, tests=UNITS, power=POWER), case.draws, rng
        )
        margin, drop, retained, forgotten, draws = outlook.certifiable, outlook.detectable, POWER, POWER, case.draws
    row: dict[str, Any] = {
        "group": case.group,
        "cell": case.name,
        "units": case.units,
        "draws": case.draws,
        "foretold draws": draws,
    }
    for claim, rate, loss, at in (("retained", retained, 0.0, margin), ("forgotten", forgotten, drop, case.margin)):
        if loss is not None and at is not None:
            world = losing(loss)
            assert world is not None  # the outlook lost as much
            row |= {f"{claim} foretold": rate, claim: _claim_rate(case, world, claim, at, rng)}
            row[f"{claim} otherwise"] = _otherwise(case, loss, claim, at, rng)
    return row | {"margin": margin, "drop": drop}


def _enumerated(case: Plan) -> tuple[tuple[float, float], tuple[float | None, float]]:
    """(margin, probability that it is certified), (drop, probability that it is found)."""
    n, flips = case.units, float(dict(case.options)["flips"])
    margin = certifiable_margin(n, flips, POWER, ALPHA)
    drop = detectable_drop(n, flips, case.margin, POWER, ALPHA / UNITS)
    forgotten = 0.0 if drop is None else odds(n, flips, drop, case.margin, (ALPHA / UNITS, 0.0)).forgotten
    return (margin, odds(n, flips, 0.0, margin, (0.0, ALPHA)).retained), (drop, forgotten)


def _otherwise(case: Plan, drop: float, claim: str, margin: float, rng: np.random.Generator) -> float | None:
    if case.world == "answers":
        return None
    try:
        world = case.build(drop)
    except ValueError:
        return None
    return _claim_rate(case, world, claim, margin, rng)


def _claim_rate(
    case: Plan, world: Callable[[np.random.Generator], Pairs], claim: str, margin: float, rng: np.random.Generator
) -> float:
    """How often the claim is made."""
    tests, count = (UNITS if claim == "forgotten" else 1), 0
    for _ in range(case.draws):
        if isinstance(world, Answers):
            finding = found_in(replace(world, margin=margin), rng)
        else:
            pairs = replace(world(rng), margin=margin)
            finding = assess_at_margin(pairs, LEVEL)
        count += verdict(finding, min(1.0, tests * (finding.p_forgotten or 0.0))) == claim
    return count / case.draws
