"""Draw whole suites of tasks many times: how often the gate errs, how often it finds the one task that was forgotten,
and how often it passes beside how often `plan` says that it would.

Every draw goes through `assess`, `holm`, `decide` and `combine`, as a comparison does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from margin import ALPHA, LEVEL, found_in, verdict
from worlds import Answers, World, confusions, summaries, translations

from evalharness.stats.assess import Finding
from evalharness.stats.forecast import Rule
from evalharness.stats.gate_forecast import gate
from evalharness.stats.multiplicity import holm
from evalharness.stats.redraw import again
from evalharness.stats.redraw import answers as redrawn
from evalharness.stats.suite import Weighing, combine

MARGIN = 0.02  # of the suite, in skill
LAYOUTS: dict[str, Sequence[tuple[int, float, float]]] = {  # answers asked, the base's accuracy, chance
    "15 × 500": [(500, 0.7, 0.3)] * 15,
    "15 × 100": [(100, 0.7, 0.3)] * 15,
    "skills .15 to .6": [(500, 0.25 + skill, 0.25) for skill in np.linspace(0.15, 0.6, 10).tolist()],
    "SuperGLUE's sizes": [
        *((3270, 0.8, 0.5), (56, 0.83, 0.33), (100, 0.8, 0.5), (848, 0.9, 0.5), (2000, 0.8, 0.2), (277, 0.7, 0.5)),
        *((638, 0.7, 0.5), (104, 0.7, 0.5)),
    ],
    "14 × 1000 and 1 × 50": [(1000, 0.7, 0.3)] * 14 + [(50, 0.7, 0.3)],
    "1000 and 50": [(1000, 0.65, 0.25), (50, 0.65, 0.25)],
    "2000, 100 and 40": [(2000, 0.65, 0.25), (100, 0.65, 0.25), (40, 0.65, 0.25)],
    "5 × 50": [(50, 0.75, 0.25)] * 5,
}


@dataclass(frozen=True)
class Case:
    """`kind`: which question is asked of the suite; `layout`: of LAYOUTS, or "mixed"; `at_margin`: how many tasks lost
    exactly their margin, where that is not all or none; `foretold`: how often the gate is drawn as `plan` draws it.
    """

    kind: str
    layout: str
    flips: float
    draws: int
    at_margin: int = 0
    foretold: int = 0

    @property
    def name(self) -> str:
        some = f"{self.at_margin} of them, " if self.at_margin else ""
        return f"{self.layout}, {some}flips {self.flips}"


def cases(scale: float = 1.0) -> Iterator[Case]:
    def some(draws: int) -> int:
        return max(4, round(draws * scale))

    for layout in ("15 × 500", "15 × 100"):
        for flips in (0.05, 0.1, 0.2):
            yield Case("all at the margin", layout, flips, some(4000))
        for at_margin in (1, 5, 10):
            yield Case("some at the margin", layout, 0.1, some(4000), at_margin)
    for flips in (0.1, 0.3):
        yield Case("all at the margin", "mixed", flips, some(1200))
        yield Case("some at the margin", "mixed", flips, some(1200), 8)
    for flips in (0.11, 0.15):
        yield Case("one lost ten points", "15 × 500", flips, some(3000))
    for layout in LAYOUTS:
        for flips in (0.05, 0.1):
            yield Case("suite at its margin", layout, flips, some(2000))
    for layout in ("15 × 500", "15 × 100", "skills .15 to .6", "SuperGLUE's sizes", "14 × 1000 and 1 × 50"):
        for flips in (0.03, 0.08):
            yield Case("nothing changed", layout, flips, some(1500), foretold=some(1500) if flips == 0.08 else 0)
    yield Case("nothing changed", "mixed", 0.1, some(1000), foretold=some(1000))


def answers(layout: str, flips: float, drops: Sequence[float]) -> list[Answers]:
    rows = LAYOUTS[layout]
    return [Answers(n, flips, drop, accuracy, chance) for (n, accuracy, chance), drop in zip(rows, drops, strict=True)]


SIZES = (100, 200, 277, 300, 400, 500, 500, 100, 200, 200, 200, 500, 200, 100, 200)  # of the mixed suite
EARLIER = 2000  # units of each of its tasks in the earlier run from which it is foretold


def mixed(flips: float, drops: Sequence[float], sizes: Sequence[int] = SIZES) -> list[World]:
    """Fifteen tasks of all kinds. `drops`: in margins, which are .02 of all scores but BLEU, of which it is 1."""
    share, (n, drop) = [0.02 * each for each in drops], (sizes, drops)
    worlds: list[World] = [Answers(n[i], flips, share[i]) for i in range(7)]
    shapes = ("of any size", "losses large, gains small", "losses small, gains large")
    worlds += [summaries(n[i], flips, share[i], shape) for i, shape in enumerate(shapes, start=7)]
    worlds += [confusions(n[i], "mcc", (0.7, 0.3), flips, share[i]) for i in (10, 11)]
    return [
        *worlds,
        confusions(n[12], "f1,macro", (0.5, 0.4, 0.1), flips, share[12]),
        *(translations(n[i], flips, drop[i]) for i in (13, 14)),
    ]


def verdicts(findings: Sequence[Finding]) -> list[str]:
    """Of every task, with Holm's adjustment over them."""
    adjusted = holm([finding.p_forgotten or 0.0 for finding in findings])
    return [verdict(finding, p) for finding, p in zip(findings, adjusted, strict=True)]


def suite_of(findings: Sequence[Finding], rng: np.random.Generator, by: Weighing = "units") -> Finding:
    able = [finding for finding in findings if not finding.at_chance and finding.units >= 2]
    return combine(able, MARGIN, LEVEL, rng, by)


def measure(case: Case, seed: int) -> dict[str, Any]:
    """Rates over the draws of one case. Reproducible from the seed and the case."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    counts: Counter[str] = Counter()
    worlds, whole = _worlds(case), case.kind in ("suite at its margin", "nothing changed")
    for _ in range(case.draws):
        counts.update(QUESTIONS[case.kind]([found_in(world, rng, whole) for world in worlds], rng))
    rates = {name: count / case.draws for name, count in sorted(counts.items())}
    share = {"foretold": foretold(case, rng), "foretold draws": case.foretold} if case.foretold else {}
    return {"group": case.kind, "cell": case.name, "draws": case.draws} | rates | share


def foretold(case: Case, rng: np.random.Generator) -> float:
    """How often `plan` says that the gate would pass: from what is assumed of answers, or from an earlier run's
    rows.
    """
    if case.layout == "mixed":
        rows = [world(rng) for world in mixed(case.flips, [0.0] * len(SIZES), [EARLIER] * len(SIZES))]
        drawings = [again(pairs, n) for pairs, n in zip(rows, SIZES, strict=True)]
        margins = [pairs.margin or 0.0 for pairs in rows]
    else:
        drawings = [redrawn(n, accuracy, case.flips, chance) for n, accuracy, chance in LAYOUTS[case.layout]]
        margins = [MARGIN] * len(drawings)
    return gate(
        drawings, margins, MARGIN, Rule(margin=MARGIN, alpha=ALPHA, tests=len(drawings)), case.foretold, rng
    ).passes


def _worlds(case: Case) -> Sequence[World]:
    tasks = len(SIZES if case.layout == "mixed" else LAYOUTS[case.layout])
    lost = {"all at the margin": tasks, "some at the margin": case.at_margin}.get(case.kind, 0)
    if case.layout == "mixed":
        return mixed(case.flips, [float(i % 2 == 0 or lost == tasks) * bool(lost) for i in range(tasks)])
    drops = [0.02] * lost + [0.0] * (tasks - lost)
    if case.kind == "one lost ten points":
        drops[0] = 0.1
    if case.kind == "suite at its margin":
        drops = [MARGIN * (accuracy - chance) for _, accuracy, chance in LAYOUTS[case.layout]]
    worlds = answers(case.layout, case.flips, drops)
    return [
        replace(world, flips=0.15) if case.kind == "one lost ten points" and world.drop == 0 else world
        for world in worlds
    ]


def _margins(findings: Sequence[Finding], rng: np.random.Generator) -> list[str]:
    """Wrong claims: that something was forgotten, and that all tasks were retained."""
    given = verdicts(findings)
    return ["any forgotten"] * ("forgotten" in given) + ["all retained"] * (set(given) == {"retained"})


def _one_lost(findings: Sequence[Finding], rng: np.random.Generator) -> list[str]:
    """Is the task that lost found, and is it the only one?"""
    first, *others = verdicts(findings)
    return ["found"] * (first == "forgotten") + ["alone found"] * (first == "forgotten" and "forgotten" not in others)


def _suite(findings: Sequence[Finding], rng: np.random.Generator) -> list[str]:
    """Wrong verdicts of the suite by each way of weighing it, and is its interval right?"""
    rates = []
    for by in get_args(Weighing):
        suite = suite_of(findings, rng, by)
        rates += [f"{name} by {by}" for name in ("forgotten", "retained") if verdict(suite) == name]
        low, high = suite.difference.low, suite.difference.high
        rates += [f"covered by {by}"] * (low is None or high is None or low <= -MARGIN <= high)
    return rates


def _nothing(findings: Sequence[Finding], rng: np.random.Generator) -> list[str]:
    """Does the gate fail or pass, and can the suite be called retained by each way of weighing it?"""
    suites = {by: verdict(suite_of(findings, rng, by)) for by in get_args(Weighing)}
    fails = "forgotten" in verdicts(findings) or suites["units"] == "forgotten"
    passes = suites["units"] == "retained" and not fails
    return (
        ["gate fails"] * fails
        + ["gate passes"] * passes
        + [f"retained by {by}" for by, said in suites.items() if said == "retained"]
    )


QUESTIONS: dict[str, Callable[[Sequence[Finding], np.random.Generator], list[str]]] = {
    "all at the margin": _margins,
    "some at the margin": _margins,
    "one lost ten points": _one_lost,
    "suite at its margin": _suite,
    "nothing changed": _nothing,
}
