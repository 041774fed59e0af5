"""What `plan` says that a task could decide, beside what verdicts then say of data drawn afresh: margins that are certified, drops that are found.

Independent 0/1 answers are foretold from the share of them that changes; all others from the rows of an earlier run (EARLIER units of a candidate that
lost nothing), as `plan --earlier` does. Each is asked at the very margin, or drop, that was foretold to come out with probability POWER.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from margin import ALPHA, LEVEL, WORLDS, of_answers, verdict
from worlds import Answers, World

from evalharness.stats.assess import Effort, assess
from evalharness.stats.forecast import Rule, simulated
from evalharness.stats.power import certifiable_margin, detectable_drop, odds
from evalharness.stats.redraw import again

POWER = 0.8
EARLIER = 4000  # units
EFFORT = Effort(1000, 60, 2)  # p-values that Holm's adjustment leaves small need more resamples
UNITS = 15  # in the family of Holm's adjustment
Claim = Literal["retained", "forgotten"]


@dataclass(frozen=True)
class Plan:
    """`world` and its options, without a drop; `claim`: retained at the margin that is certified, or forgotten at the drop that is found, at the
    world's own `margin`."""

    group: str
    world: str
    options: tuple[tuple[str, Any], ...]
    units: int
    claim: Claim
    draws: int
    margin: float = 0.02

    @property
    def name(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.options)

    def build(self, drop: float, units: int | None = None) -> World:
        size = {"units" if "units" in dict(self.options) else "n": units or self.units}
        return WORLDS[self.world](**{**dict(self.options), **size, "drop": drop, "margin": self.margin})  # type: ignore[no-any-return, operator]


def cases(scale: float = 1.0) -> Iterator[Plan]:
    def some(draws: int) -> int:
        return max(4, round(draws * scale))

    def options(**given: Any) -> tuple[tuple[str, Any], ...]:
        return tuple(given.items())

    for n in (100, 300, 500, 2000):
        for flips in (0.03, 0.1, 0.2):
            for claim in ("retained", "forgotten"):
                yield Plan("0/1", "answers", options(n=n, flips=flips), n, claim, some(4000))
    for units, together in ((100, 0.3), (400, 0.3), (100, 0.8), (400, 0.8)):
        given = options(units=units, size=5, flips=0.1, together=together, uneven=True)
        for claim in ("retained", "forgotten"):
            yield Plan("passages", "passages", given, units, claim, some(4000))
    graded = [("summaries", options(n=n, flips=0.2, shape=shape)) for n in (100, 300, 500) for shape in ("of any size", "small")]
    graded += [("dialogues", options(units=n, size=5, flips=0.3, together=0.3, shape="of any size")) for n in (100, 400)]
    for world, given in graded:
        for claim in ("retained", "forgotten"):
            yield Plan(world, world, given, int(given[0][1]), claim, some(3000))
    for n, metric, shares in ((300, "f1", (0.7, 0.3)), (300, "mcc", (0.5, 0.5)), (500, "mcc", (0.8, 0.2)), (500, "f1,macro", (0.5, 0.4, 0.1))):
        for claim in ("retained", "forgotten"):
            yield Plan("F1 and MCC", "confusions", options(n=n, metric=metric, shares=shares, flips=0.2), n, claim, some(4000))
    for n in (200, 500):
        for claim in ("retained", "forgotten"):
            yield Plan("BLEU", "translations", options(n=n, flips=1.0), n, claim, some(2000), margin=1.0)


def measure(case: Plan, seed: int) -> dict[str, Any] | None:
    """What was foretold beside what was seen; None where it cannot be. Reproducible from the seed and the case."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    value, told = _foretold(case, rng)
    about = {"group": case.group, "cell": case.name, "units": case.units, "claim": case.claim}
    if value is None:
        return None
    return about | {"at": value, "foretold": told, "seen": _seen(case, value, rng), "draws": case.draws}


def _foretold(case: Plan, rng: np.random.Generator) -> tuple[float | None, float]:
    """The margin or drop that plan gives for POWER, and the probability that it gives for a claim there."""
    rule = Rule(case.margin, ALPHA, UNITS, POWER)
    if case.world == "answers":
        flips = float(dict(case.options)["flips"])
        if case.claim == "retained":
            margin = certifiable_margin(case.units, flips, POWER, ALPHA)
            return margin, odds(case.units, flips, 0.0, margin, (0.0, ALPHA)).retained
        drop = detectable_drop(case.units, flips, case.margin, POWER, ALPHA / UNITS)
        return drop, 0.0 if drop is None else odds(case.units, flips, drop, case.margin, (ALPHA / UNITS, 0.0)).forgotten
    losing = partial(again, case.build(0.0, EARLIER)(rng), case.units)
    outlook = simulated(losing, rule, case.draws, rng)
    return (outlook.certifiable if case.claim == "retained" else outlook.detectable), POWER


def _seen(case: Plan, value: float, rng: np.random.Generator) -> float:
    """How often the claim is made."""
    margin, tests = (value, 1) if case.claim == "retained" else (case.margin, UNITS)
    world, said = case.build(value if case.claim == "forgotten" else 0.0), 0
    for _ in range(case.draws):
        if isinstance(world, Answers):
            found = of_answers(replace(world, margin=margin), *world.counts(rng))
        else:
            found = assess(replace(world(rng), margin=margin), LEVEL, lambda _: rng, EFFORT)
        said += verdict(found, min(1.0, tests * (found.p_forgotten or 0.0))) == case.claim
    return said / case.draws
