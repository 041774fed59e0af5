"""Draw streams of answers that are looked at after every one: how often that errs and how soon it decides; and compute
what n answers can decide at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from margin import ALPHA
from watching import first_decision, single
from worlds import Floats

from evalharness.stats.power import certifiable_margin, detectable_drop, odds

MARGIN = 0.02
SIZES = {  # labelled rows of public sets
    "CB": 56,
    "COPA, a subject of MMLU": 100,
    "RTE": 277,
    "MRPC": 408,
    "500 of any": 500,
    "WiC": 638,
    "SST-2": 872,
    "BoolQ": 3270,
    "MNLI": 9815,
    "MMLU": 14042,
}
FLIPS = (0.03, 0.1, 0.2)
UNITS = 15  # in the family of Holm's adjustment


@dataclass(frozen=True)
class Watched:  # the names of cases are part of the seeds: draws hang on them
    """A stream of `n` answers of which a share `flips` changes, with a true `difference`; `finite`: they are one set,
    and the verdict is on it.
    """

    n: int
    flips: float
    difference: float
    finite: bool
    draws: int


def cases(scale: float = 1.0) -> Iterator[Watched]:
    of_1000 = ((0.1, -MARGIN), (0.3, -MARGIN), (0.05, 0.0), (0.1, 0.0), (0.1, -0.04), (0.1, -0.08), (0.2, -0.1))
    for n, flips, difference in (*((1000, *each) for each in of_1000), (5000, 0.1, 0.0), (5000, 0.1, -0.05)):
        for finite in (True, False):
            yield Watched(n, flips, difference, finite, max(4, round((1000 if n == 1000 else 200) * scale)))


def measure(case: Watched, seed: int) -> dict[str, Any]:
    """Shares of verdicts and the mean share of the stream that was needed."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    after, counts = 0.0, {"forgotten": 0, "retained": 0, "inconclusive": 0}
    for _ in range(case.draws):
        stop, verdict = first_decision(single(_answers(case, rng)), MARGIN, ALPHA, case.n if case.finite else None)
        after, counts[verdict] = after + stop / case.n, counts[verdict] + 1
    rates = {name: count / case.draws for name, count in counts.items()}
    population = "the set" if case.finite else "questions like these"
    cell = f"n {case.n}, flips {case.flips}, difference {case.difference}, {population}"
    about = {"n": case.n, "flips": case.flips, "difference": case.difference, "margin": MARGIN}
    return {"group": "watched", "cell": cell, **about, "draws": case.draws, **rates, "share": after / case.draws}


def _answers(case: Watched, rng: np.random.Generator) -> Floats:
    """Changes in random order; a finite set has exactly its difference in every draw."""
    lost = (case.flips - case.difference) / 2
    if not case.finite:
        luck = rng.random(case.n)
        return np.where(luck < lost, -1.0, np.where(luck < case.flips, 1.0, 0.0))
    losses = round(case.n * lost)
    gains = losses + round(case.n * case.difference)
    return rng.permutation(np.repeat([-1.0, 1.0, 0.0], [losses, gains, case.n - losses - gains]))


def plan(name: str, seed: int) -> dict[str, Any]:
    """What the set can decide with probability .8, exactly: nothing here is drawn."""
    n, row = SIZES[name], dict[str, float | None]()
    for flips in FLIPS:
        row[f"margin at {flips}"] = certifiable_margin(n, flips)
        row[f"drop at {flips}"] = detectable_drop(n, flips, MARGIN, alpha=ALPHA / UNITS)
        row[f"retained at {flips}"] = odds(n, flips, 0.0, MARGIN, (0.0, ALPHA)).retained
    return {"group": "plan", "cell": name, "n": n, **row}
