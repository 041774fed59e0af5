"""Draw whole suites of tasks many times and put each through the gate's rule: how often it errs, where nothing changed
and where tasks or the suite lie exactly at their margins; how often it finds what was lost; and how often it passes
beside how often `plan` says that it would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from margin import ALPHA, found_in
from worlds import Answers, World, confusions, errors, jittered, rare, summaries, translations

from evalharness.stats.enums import Verdict
from evalharness.stats.forecast import Rule
from evalharness.stats.gate_forecast import GateDraw, GateOdds, decide_draw, gate_odds
from evalharness.stats.redraw import Losing, redraw_units
from evalharness.stats.redraw import draw_answers as redrawn

MARGIN = 0.02  # of all scores but BLEU, of which it is 1
Design = tuple[int, float, float]  # answers asked, the base's accuracy, chance
STRONG = (0.7, 0.25)
LAYOUTS: dict[str, Sequence[Design]] = {
    "5 × 20": [(20, *STRONG)] * 5,
    "5 × 100": [(100, *STRONG)] * 5,
    "15 × 100": [(100, *STRONG)] * 15,
    "15 × 500": [(500, *STRONG)] * 15,
    "57 × 200": [(200, *STRONG)] * 57,
    "SuperGLUE's sizes": [
        *((3270, 0.8, 0.5), (56, 0.83, 0.33), (100, 0.8, 0.5), (848, 0.9, 0.5), (2000, 0.8, 0.2), (277, 0.7, 0.5)),
        *((638, 0.7, 0.5), (104, 0.7, 0.5)),
    ],
    "14 × 1000 and 1 × 50": [(1000, *STRONG)] * 14 + [(50, *STRONG)],
    "2000, 100 and 40": [(2000, *STRONG), (100, *STRONG), (40, *STRONG)],
    "near chance, 15 × 100, .32 of .25": [(100, 0.32, 0.25)] * 15,
    "near chance, 15 × 200, .56 of .5": [(200, 0.56, 0.5)] * 15,
    "near chance, 15 × 500, .55 of .5": [(500, 0.55, 0.5)] * 15,
    "near chance, 15 × 1000, .28 of .25": [(1000, 0.28, 0.25)] * 15,
    "skills .02 to .15, 15 × 200": [(200, 0.25 + skill, 0.25) for skill in np.linspace(0.02, 0.15, 15).tolist()],
    "all at chance, 15 × 200": [(200, 0.25, 0.25)] * 15,
    "10 near chance, 5 strong, × 500": [(500, 0.28, 0.25)] * 10 + [(500, 0.8, 0.25)] * 5,
    "10 near chance, 5 strong, × 100": [(100, 0.55, 0.5)] * 10 + [(100, 0.9, 0.5)] * 5,
}
NEAR = [name for name in LAYOUTS if "chance" in name or "skills" in name]
GRADED = {"graded, 5 × 20": (20,) * 5, "graded, 15 × 100": (100,) * 15, "graded, uneven": (20, 50, 100, 500, 1000)}
SIZES = (100, 200, 277, 300, 400, 500, 500, 100, 200, 200, 200, 500, 200, 100, 200)  # of the mixed suite
EARLIER = 2000  # units of each of its tasks in the earlier run from which it is foretold
SHAPES = ("of any size", "losses large, gains small", "losses small, gains large")


@dataclass(frozen=True)
class Case:
    """`kind`: which question is asked of the gate; `layout`: of LAYOUTS, GRADED, "mixed" or "rare"; `foretold`: how
    often the gate is drawn as `plan` draws it.
    """

    kind: str
    layout: str
    flips: float
    draws: int
    foretold: int = 0

    @property
    def name(self) -> str:
        return f"{self.layout}, flips {self.flips}"


def cases(scale: float = 1.0) -> Iterator[Case]:
    def some(draws: int) -> int:
        return max(4, round(draws * scale))

    for layout in NEAR:
        for flips in (0.05, 0.3) if "500" in layout else (0.1, 0.3):
            yield Case("nothing changed, bases near chance", layout, flips, some(4000))
    for layout, flips in (("15 × 500", 0.05), ("15 × 500", 0.2), ("SuperGLUE's sizes", 0.08), ("15 × 100", 0.03)):
        yield Case("nothing changed", layout, flips, some(2000), foretold=some(2000))
    yield Case("nothing changed", "57 × 200", 0.2, some(1500))
    yield Case("nothing changed", "mixed", 0.1, some(300), foretold=some(150))
    for layout in ("15 × 500", "15 × 100", "SuperGLUE's sizes", "57 × 200"):
        for flips in (0.05, 0.1, 0.3):
            yield Case("all at their margin", layout, flips, some(1500 if layout == "57 × 200" else 3000))
    yield Case("all at their margin", "mixed", 0.3, some(400))
    for layout in ("5 × 20", "5 × 100", "15 × 100", "15 × 500", "57 × 200", "SuperGLUE's sizes"):
        for flips in (0.03, 0.1, 0.3):
            yield Case("suite at its margin", layout, flips, some(1000 if layout == "57 × 200" else 2000))
    for layout in ("14 × 1000 and 1 × 50", "2000, 100 and 40"):
        for flips in (0.03, 0.1):
            yield Case("suite at its margin", layout, flips, some(2000))
    for layout in (*GRADED, "mixed", "rare collapses", "rare gains", "less is better"):
        yield Case("suite at its margin", layout, 0.3, some(400 if layout == "mixed" else 1500))
    for layout in ("15 × 500", "5 × 100"):
        yield Case("suite at its margin, by one task alone", layout, 0.1, some(2000))
    yield Case("nothing lost, one graded task", "like ROUGE, × 500", 0.3, some(3000))
    yield Case("one lost ten points", "15 × 500", 0.15, some(3000), foretold=some(1500))
    yield Case("one lost ten points", "15 × 500", 0.2, some(3000))
    yield Case("one lost five points", "15 × 500", 0.1, some(3000))
    yield Case("all but one lost 2.5 points, one gained fifty", "15 × 500", 0.1, some(3000))


def worlds_of(case: Case) -> Sequence[World]:
    """The tasks of one case, each with what it truly loses."""
    if case.layout in LAYOUTS:
        return _answers(case)
    if case.kind == "nothing lost, one graded task":
        return [jittered(500, case.flips, 0.25)]
    at_margin = 0.0 if case.kind == "nothing changed" else 1.0
    if case.layout == "mixed":
        return mixed(case.flips, [at_margin] * len(SIZES))
    if case.layout in GRADED:
        sizes = GRADED[case.layout]
        return [summaries(n, case.flips, MARGIN, SHAPES[i % 3]) for i, n in enumerate(sizes)]
    if case.layout == "less is better":
        return [errors(100, case.flips, MARGIN) for _ in range(15)]
    size = 0.8 if case.layout == "rare collapses" else -0.8
    return [rare(n, 0.025, size, MARGIN) for n in (20, 50, 100, 100, 200)]


def _answers(case: Case) -> list[World]:
    designs = LAYOUTS[case.layout]
    tasks, many = len(designs), len(designs)
    drops = {
        "all at their margin": [MARGIN] * tasks,
        "suite at its margin": [MARGIN] * tasks,
        "suite at its margin, by one task alone": [many * MARGIN, *[0.0] * (tasks - 1)],
        "one lost ten points": [0.1, *[0.0] * (tasks - 1)],
        "one lost five points": [0.05, *[0.0] * (tasks - 1)],
        "all but one lost 2.5 points, one gained fifty": [*[0.025] * (tasks - 1), -0.5],
    }.get(case.kind, [0.0] * tasks)
    return [
        Answers(n, max(case.flips, abs(drop)), drop, 0.4 if drop < 0 else accuracy, chance)
        for (n, accuracy, chance), drop in zip(designs, drops, strict=True)
    ]


def mixed(flips: float, drops: Sequence[float], sizes: Sequence[int] = SIZES) -> list[World]:
    """Fifteen tasks of all kinds. `drops`: in margins."""
    share, (n, drop) = [MARGIN * each for each in drops], (sizes, drops)
    worlds: list[World] = [Answers(n[i], flips, share[i]) for i in range(7)]
    worlds += [summaries(n[i], flips, share[i], shape) for i, shape in enumerate(SHAPES, start=7)]
    worlds += [confusions(n[i], "mcc", (0.7, 0.3), flips, share[i]) for i in (10, 11)]
    return [
        *worlds,
        confusions(n[12], "f1,macro", (0.5, 0.4, 0.1), flips, share[12]),
        *(translations(n[i], flips, drop[i]) for i in (13, 14)),
    ]


def measure(case: Case, seed: int) -> dict[str, Any]:
    """Rates over the draws of one case. Reproducible from the seed and the case."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    counts: Counter[str] = Counter()
    worlds, whole = worlds_of(case), case.kind.startswith("nothing changed")
    lost = -1.0 if case.kind.startswith("suite at its margin") else None
    for _ in range(case.draws):
        draw = decide_draw([found_in(world, rng, whole) for world in worlds], ALPHA)
        counts.update(_claims(draw, lost))
    rates = {name: count / case.draws for name, count in sorted(counts.items())}
    forecast = _shares(foretold(case, rng), case) if case.foretold else {}
    return {"group": case.kind, "cell": case.name, "draws": case.draws, **rates, **forecast}


def _claims(draw: GateDraw, lost: float | None) -> Iterator[str]:
    """What is counted of a draw. `lost`: the suite's true difference in margins, where it is held to its interval."""
    yield f"gate {draw.result}"
    first, *others = draw.verdicts
    claims = {
        "any forgotten": Verdict.FORGOTTEN in draw.verdicts,
        "any suspect": any(draw.suspects),
        "found": first == Verdict.FORGOTTEN,
        "alone found": first == Verdict.FORGOTTEN and Verdict.FORGOTTEN not in others,
        "all retained": set(draw.verdicts) == {Verdict.RETAINED},
        "suite forgotten": (draw.suite.p_forgotten or 0.0) <= ALPHA,
        "suite retained": (draw.suite.p_retained or 0.0) <= ALPHA,
    }
    yield from (name for name, holds in claims.items() if holds)
    if lost is not None and min(draw.suite.p_at(-lost)) > ALPHA:  # the interval is what neither test rejects
        yield "covered"


def foretold(case: Case, rng: np.random.Generator) -> GateOdds:
    """What `plan` says of the gate: from what is assumed of answers, or from an earlier run's rows."""
    units: Sequence[Losing]
    if case.layout == "mixed":
        rows = [world(rng) for world in mixed(case.flips, [0.0] * len(SIZES), [EARLIER] * len(SIZES))]
        units = [_again(pairs, n) for pairs, n in zip(rows, SIZES, strict=True)]
        margins = [pairs.margin or 0.0 for pairs in rows]
    else:
        units = [_redrawn(design, case.flips) for design in LAYOUTS[case.layout]]
        margins = [MARGIN] * len(units)
    return gate_odds(units, margins, Rule(margin=MARGIN, alpha=ALPHA, tests=len(units)), case.foretold, rng)


def _again(pairs: Any, units: int) -> Losing:
    return lambda drop: redraw_units(pairs, units, drop)


def _redrawn(design: Design, flips: float) -> Losing:
    n, accuracy, chance = design
    return lambda drop: redrawn(n, accuracy, flips, chance, drop)


def _shares(odds: GateOdds, case: Case) -> dict[str, Any]:
    """Of the world that is the case's: nothing lost, or one task (of equal ones) that lost some of its margins."""
    if case.kind.startswith("nothing changed"):
        return {"foretold passes": odds.passes, "foretold draws": odds.draws}
    return {f"foretold at {each.margins:g}": each.passes for each in odds.losing} | {"foretold draws": odds.draws}
