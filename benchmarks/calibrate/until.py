"""Draw runs that stop early many times: how often they err, and how much they ask.

A draw goes the way of `run --until-decided`: e-processes after every round, e-Holm, who is asked on, the suite at its
looks, and what was asked to the end by the fixed sample's test (stats/early_stopping.py). Units are 0/1 answers,
alone or several of a passage, or graded scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from margin import ALPHA, LEVEL
from numpy.typing import NDArray
from worlds import Answers, Floats, World, passages, summaries

from evalharness.stats.assess import Finding, assess_at_margin
from evalharness.stats.early_stopping import (
    LOOKS,
    ROUNDS,
    EvidencePath,
    adjusted_p,
    alpha_by_look,
    anytime_p,
    combined_p,
    evidence_path,
    round_of,
    sequential_unit,
    units_to_continue,
    verdict_on_set,
)
from evalharness.stats.enums import Verdict
from evalharness.stats.multiplicity import holm
from evalharness.stats.pairs import Pairs
from evalharness.stats.suite import combine
from evalharness.stats.verdict import decide

LARGEST = 25.0  # rows in the largest passage


@dataclass(frozen=True)
class Until:
    """`drops`: the true loss of every gate unit, each of `n` units of the `world`; `flips`: share that changes.
    `suite`: is it tested at its looks?
    Without, what is retained is asked to its end: the longest that one may look."""

    group: str
    world: str
    n: int
    flips: float
    drops: tuple[float, ...]
    draws: int
    suite: bool = True

    @property
    def name(self) -> str:
        return f"{len(self.drops)} × {self.n} {self.world}, flips {self.flips}, lost {self.drops[0]}"

    def worlds(self) -> list[World]:
        if self.world == "answers":
            return [Answers(self.n, self.flips, drop, 0.7, 0.3) for drop in self.drops]
        if self.world == "passages":
            return [passages(self.n, 5, self.flips, drop, 0.5, False) for drop in self.drops]
        return [summaries(self.n, self.flips, drop, "of any size") for drop in self.drops]


def cases(scale: float = 1.0) -> Iterator[Until]:
    def some(draws: int) -> int:
        return max(4, round(draws * scale))

    for flips in (0.05, 0.1, 0.3):
        yield Until("one at its margin", "answers", 1000, flips, (0.02,), some(3000), False)
    for world, n in (("passages", 200), ("summaries", 500)):
        yield Until("one at its margin", world, n, 0.1, (0.02,), some(1500), False)
    for drop, flips in ((0.08, 0.1), (0.04, 0.1), (0.0, 0.02), (0.0, 0.1), (0.2, 0.3)):
        yield Until("one", "answers", 1000, flips, (drop,), some(500))
    yield Until("one", "answers", 5000, 0.05, (0.0,), some(200))
    yield Until("all at their margin", "answers", 500, 0.1, (0.02,) * 15, some(500), False)
    yield Until("one of 15 lost ten points", "answers", 500, 0.11, (0.1, *(0.0,) * 14), some(300))
    yield Until("nothing changed", "answers", 1000, 0.05, (0.0,) * 15, some(200))
    yield Until("suite at its margin", "answers", 500, 0.1, (0.02,) * 15, some(400))


def measure(case: Until, seed: int) -> dict[str, Any]:
    """Shares of draws, of verdicts on the first unit, on any, and on the suite; and of units that were asked."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    counts: Counter[str] = Counter()
    answered = 0.0
    worlds = case.worlds()
    for _ in range(case.draws):
        verdicts, suite, share, whole = replay([world(rng) for world in worlds], rng, case.suite)
        answered += share
        counts.update([f"first {verdicts[0]}", f"suite {suite}", f"set {whole[0]}"])
        counts["any forgotten"] += "forgotten" in verdicts
        counts["alone found"] += verdicts[0] == "forgotten" and "forgotten" not in verdicts[1:]
        counts["gate passes"] += "forgotten" not in (*verdicts, suite) and suite == "retained"
    rates = {name: count / case.draws for name, count in sorted(counts.items())}
    return {"group": case.group, "cell": case.name, "draws": case.draws, "asked": answered / case.draws, **rates}


def replay(
    units: Sequence[Pairs], rng: np.random.Generator, with_suite: bool
) -> tuple[list[Verdict], Verdict, float, list[Verdict]]:
    """Verdicts on the units and on the suite, the share of units that was asked, and what is certain of each whole
    set.
    """
    units = [_at_places(pairs, rng.permutation(len(pairs.base))) for pairs in units]
    orders = [np.sort(rng.random(len(pairs.base))) for pairs in units]
    full = [
        sequential_unit(pairs, of, LARGEST if pairs.sizes.max() > 1 else 1.0)
        for pairs, of in zip(units, orders, strict=True)
    ]
    paths = [evidence_path(unit, ROUNDS) for unit in full if unit is not None]
    rounds, stopped, suite = [0] * len(units), [False] * len(units), Verdicts()
    for number in range(1, ROUNDS + 1):
        rounds = [was if ended else number for was, ended in zip(rounds, stopped, strict=True)]
        if number == ROUNDS:
            break
        verdicts = _early(paths, rounds)
        if with_suite and number in LOOKS and "forgotten" not in verdicts and suite.verdict == "inconclusive":
            suite.look(_upto(units, orders, number), number, rng)
        on = units_to_continue({str(i): verdict for i, verdict in enumerate(verdicts)}, suite.verdict)
        stopped = [ended or str(i) not in on for i, ended in enumerate(stopped)]
        if all(stopped):
            break
    ends = [was == ROUNDS for was in rounds]
    if with_suite and all(ends) and suite.verdict == "inconclusive":
        suite.look(units, ROUNDS, rng)
    share = sum(int((round_of(of) <= was).sum()) for of, was in zip(orders, rounds, strict=True)) / sum(
        map(len, orders)
    )
    whole = [assess_at_margin(pairs, LEVEL) if ended else None for pairs, ended in zip(units, ends, strict=True)]
    sequential_units = [
        sequential_unit(pairs, of, LARGEST)
        for pairs, of in zip(_upto(units, orders, rounds), _orders_upto(orders, rounds), strict=True)
    ]
    sets = [
        verdict_on_set(unit, len(of), ALPHA)[0]
        for unit, of in zip(sequential_units, orders, strict=True)
        if unit is not None
    ]
    return _final(paths, rounds, whole), suite.verdict, share, sets


@dataclass
class Verdicts:
    """The suite's verdict so far."""

    verdict: Verdict = Verdict.INCONCLUSIVE

    def look(self, units: Sequence[Pairs], number: int, rng: np.random.Generator) -> None:
        share = alpha_by_look(ALPHA)[number]
        findings = [assess_at_margin(pairs, LEVEL) for pairs in units]
        suite = combine(findings, None)
        self.verdict = suite.verdict(suite.p_forgotten or 0.0, suite.p_retained or 0.0, share)


def _early(paths: Sequence[EvidencePath], rounds: Sequence[int]) -> list[Verdict]:
    now = [EvidencePath(of.forgotten[:was], of.retained[:was]) for of, was in zip(paths, rounds, strict=True)]
    return [
        _decided(combined_p(p, 1.0), combined_p(anytime_p(of)[1], 1.0))
        for p, of in zip(adjusted_p(now), now, strict=True)
    ]


def _final(paths: Sequence[EvidencePath], rounds: Sequence[int], whole: Sequence[Finding | None]) -> list[Verdict]:
    now = [EvidencePath(of.forgotten[:was], of.retained[:was]) for of, was in zip(paths, rounds, strict=True)]
    late = holm([1.0 if finding is None else finding.p_forgotten or 0.0 for finding in whole])
    retained = [1.0 if finding is None else finding.p_retained or 0.0 for finding in whole]
    every = zip(adjusted_p(now), now, late, retained, strict=True)
    return [_decided(combined_p(p, end), combined_p(anytime_p(of)[1], p_kept)) for p, of, end, p_kept in every]


def _decided(p_forgotten: float, p_retained: float) -> Verdict:
    return decide(p_forgotten, p_retained, ALPHA, units=ROUNDS, can_retain=True)


def _orders_upto(orders: Sequence[Floats], rounds: Sequence[int]) -> list[Floats]:
    return [of[round_of(of) <= was] for of, was in zip(orders, rounds, strict=True)]


def _upto(units: Sequence[Pairs], orders: Sequence[Floats], rounds: Sequence[int] | int) -> list[Pairs]:
    """The units' rows of their first rounds."""
    every = [rounds] * len(units) if isinstance(rounds, int) else rounds
    return [
        _at_places(pairs, np.flatnonzero(round_of(of) <= was))
        for pairs, of, was in zip(units, orders, every, strict=True)
    ]


def _at_places(pairs: Pairs, places: NDArray[np.int_]) -> Pairs:
    return replace(pairs, base=pairs.base[places], candidate=pairs.candidate[places], sizes=pairs.sizes[places])
