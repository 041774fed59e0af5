"""Check the stated numbers of examples that would decide undecided comparisons, by drawing again with that many.

The rate is how often the stated verdict is then reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from margin import ALPHA, LEVEL, WORLDS, options_text
from worlds import Answers, World

from evalharness.stats.assess import Finding, assess_at_margin
from evalharness.stats.enums import Assumption, Verdict
from evalharness.stats.needed import needed
from evalharness.stats.pairs import Pairs
from evalharness.stats.redraw import redraw_units
from evalharness.stats.suite import combine

AGAIN = 60  # draws of the number that one comparison names
UNITS = 15  # in the family of Holm's adjustment
MOST_UNITS = 30_000  # more are not drawn again


@dataclass(frozen=True)
class Undecided:
    """`world` and its options, of `tasks` equal tasks: 1, or a suite. `draws`: comparisons that are undecided."""

    group: str
    world: str
    options: tuple[tuple[str, Any], ...]
    draws: int
    tasks: int = 1

    @property
    def name(self) -> str:
        return options_text(self.options)


def cases(scale: float = 1.0) -> Iterator[Undecided]:
    def case(group: str, world: str, tasks: int = 1, /, **options: Any) -> Undecided:
        return Undecided(group, world, tuple(options.items()), max(3, round(60 * scale)), tasks)

    for flips, drop in ((0.05, 0.0), (0.1, 0.0), (0.1, 0.05), (0.3, 0.0)):
        yield case("0/1", "answers", n=200, flips=flips, drop=drop)
    for drop in (0.0, 0.05):
        yield case("summaries", "summaries", n=100, flips=0.3, drop=drop, shape="of any size")
    yield case("F1 and MCC", "confusions", n=200, metric="mcc", shares=(0.5, 0.5), flips=0.2, drop=0.0)
    yield case("BLEU", "translations", n=100, flips=1.0, drop=0.0)
    yield case("suite", "answers", 5, n=100, flips=0.2, drop=0.0)


def measure(case: Undecided, seed: int) -> dict[str, Any]:
    """The share of redrawn comparisons that reach the stated verdict; by Holm's α for *forgotten*."""
    rng = np.random.default_rng([seed, *repr(case).encode()])
    world: World = WORLDS[case.world](**dict(case.options))
    reached, draws, numbers, alphas = 0, 0, list[int](), (ALPHA / UNITS, ALPHA)
    for _ in range(50 * case.draws):
        if len(numbers) == case.draws:
            break
        rows = [world(rng) for _ in range(case.tasks)]
        finding = _finding(rows)
        verdict = finding.verdict(min(1.0, UNITS * (finding.p_forgotten or 0.0)), finding.p_retained or 0.0, ALPHA)
        what = needed(replace(finding, skill=None), alphas)
        if verdict != Verdict.INCONCLUSIVE or what is None or what.units is None or what.units > MOST_UNITS:
            continue
        numbers.append(what.units)
        lost = 0.0 if what.assumption == Assumption.NOTHING_LOST else -finding.difference.value
        for _ in range(AGAIN):
            once = _redrawn(case, rows, what.units, lost, rng)
            p = once.p_retained if what.verdict == Verdict.RETAINED else once.p_forgotten
            reached += (1.0 if p is None else p) <= alphas[what.verdict == Verdict.RETAINED]
            draws += 1
    middle = float(np.median(numbers)) if numbers else 0.0
    return {
        "group": case.group,
        "cell": case.name,
        "draws": draws,
        "as named": reached / max(draws, 1),
        "units": middle,
    }


def _finding(rows: list[Pairs]) -> Finding:
    findings = [assess_at_margin(each, LEVEL) for each in rows]
    return findings[0] if len(findings) == 1 else combine(findings, LEVEL)


def _redrawn(case: Undecided, rows: list[Pairs], units: int, lost: float, rng: np.random.Generator) -> Finding:
    """One comparison of so many units in all, as those that were seen but with the loss that is supposed."""
    each = round(units / len(rows))
    rows_drawn = [_moved(pairs, each, lost * (pairs.margin or 1.0 if case.tasks > 1 else 1.0), rng) for pairs in rows]
    return _finding(rows_drawn)


def _moved(pairs: Pairs, units: int, lost: float, rng: np.random.Generator) -> Pairs:
    """0/1 answers that change as often as those seen; other rows drawn again, with as much lost."""
    if pairs.kind == "binary":
        flips = float(np.any(pairs.base != pairs.candidate, axis=1).mean())
        return Answers(units, flips, lost, margin=pairs.margin or 0.0)(rng)
    drawing = redraw_units(pairs, units, lost)
    if drawing is None:
        raise ValueError("so much cannot be lost")
    return replace(drawing(rng), margin=pairs.margin)
