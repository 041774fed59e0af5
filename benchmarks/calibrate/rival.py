"""Draw the same suites for this gate and for the rule of NVIDIA NeMo Evaluator's `nel gate`, the nearest to it.

That rule, as published with version 0.3.0 (src/nemo_evaluator/engine/gate.py, commit ac66aff): of every benchmark the
two-sided 95 % interval of the mean paired difference by Student's t. A benchmark is in breach where the whole interval
is a drop beyond `max_drop`, passes where none of it is, else its evidence is insufficient; fewer than ten items are
insufficient too. One breach makes a NO-GO, else one insufficient benchmark makes it INCONCLUSIVE, else it is a GO.
Written anew from that description.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from margin import ALPHA, of_answers
from scipy.stats import t
from worlds import Answers

from evalharness.stats.gate_forecast import GateResult, decide_draw

LEVEL, LEAST, MAX_DROP = 0.95, 10, 0.02
OUTCOMES = {"GO": GateResult.PASSES, "NO-GO": GateResult.FAILS, "INCONCLUSIVE": GateResult.UNDECIDED}


@dataclass(frozen=True)
class Suite:
    """`drops`: the true loss of every task, each of `n` answers."""

    name: str
    n: int
    flips: float
    drops: tuple[float, ...]
    draws: int


def cases(scale: float = 1.0) -> Iterator[Suite]:
    draws = max(4, round(2000 * scale))
    yield Suite("one task of ten identical answers", 10, 0.0, (0.0,), 4)
    yield Suite("one task at its margin, 50 answers, flips .03", 50, 0.03, (0.02,), draws)
    for flips in (0.05, 0.2):
        yield Suite(f"nothing lost, 15 × 500, flips {flips:g}", 500, flips, (0.0,) * 15, draws)
    yield Suite("all at their margin, 15 × 500, flips .1", 500, 0.1, (0.02,) * 15, draws)
    yield Suite("one of 15 lost five points, × 500, flips .1", 500, 0.1, (0.05, *(0.0,) * 14), draws)
    yield Suite("one of 15 lost ten points, × 500, flips .15", 500, 0.15, (0.1, *(0.0,) * 14), draws)


def measure(case: Suite, seed: int) -> dict[str, Any]:
    """Shares of passes, failures and of no decision, by both rules from the same answers."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    worlds = [Answers(case.n, case.flips, drop, 0.7, 0.25) for drop in case.drops]
    ours, theirs = Counter[str](), Counter[str]()
    for _ in range(case.draws):
        counts = [world.counts(rng) for world in worlds]
        findings = [of_answers(world, *each) for world, each in zip(worlds, counts, strict=True)]
        ours[decide_draw(findings, ALPHA).result] += 1
        theirs[published([(gained, lost, case.n) for lost, gained, _ in counts])] += 1
    row: dict[str, Any] = {"group": "rival", "cell": case.name, "draws": case.draws}
    for name, result in OUTCOMES.items():
        row |= {f"ours {result}": ours[result] / case.draws, f"theirs {result}": theirs[name] / case.draws}
    return row


def published(tasks: Sequence[tuple[int, int, int]]) -> str:
    """GO, NO-GO or INCONCLUSIVE for tasks of so many (gained, lost, answers)."""
    status = [_status(*task) for task in tasks]
    return "NO-GO" if "BREACH" in status else "INCONCLUSIVE" if "INSUFFICIENT" in status else "GO"


def _status(gained: int, lost: int, n: int) -> str:
    if n < LEAST:
        return "INSUFFICIENT"
    mean = (gained - lost) / n
    spread = float(np.sqrt(((gained + lost) - n * mean**2) / (n - 1) / n))
    half = float(t.ppf(0.5 + LEVEL / 2, n - 1)) * spread
    if mean + half < -MAX_DROP:
        return "BREACH"
    return "PASS" if mean - half >= -MAX_DROP else "INSUFFICIENT"
