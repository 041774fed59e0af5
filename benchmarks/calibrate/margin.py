"""Draw one task whose true drop is exactly its margin, many times: how often each verdict errs and the interval misses.

Both verdicts are then wrong: nothing is beyond the margin, and nothing is within it. Every draw goes through `assess`
and `decide`. A cell that comes near its target, or beyond it, is drawn AGAIN times as often afresh, and only that
counts: so the worst of many cells is not merely the unluckiest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from targets import COVERED, WRONG, drawn_again, enough
from worlds import (
    SHAPES,
    Answers,
    World,
    confusions,
    dialogues,
    errors,
    passages,
    rare,
    rewritten,
    summaries,
    translations,
)

from evalharness.stats.assess import Finding, assess_at_margin
from evalharness.stats.verdict import decide

ALPHA, LEVEL = 0.05, 0.9
AGAIN = (4, 16)  # times the draws for a cell near its target, and for one that still is: anew, so that no luck is kept
WORLDS: dict[str, Callable[..., World]] = {
    "answers": Answers,
    "passages": passages,
    "dialogues": dialogues,
    "summaries": summaries,
    "rewritten": rewritten,
    "rare": rare,
    "errors": errors,
    "confusions": confusions,
    "translations": translations,
}


def options_text(options: tuple[tuple[str, Any], ...]) -> str:
    """A cell's name by the options of its world."""
    return ", ".join(f"{key} {value}" for key, value in options)


@dataclass(frozen=True)
class Cell:
    """`world` and its options; `units`: that are drawn at a time; `draws`: how many times."""

    group: str
    world: str
    options: tuple[tuple[str, Any], ...]
    units: int
    draws: int

    def build(self) -> World:
        return WORLDS[self.world](**dict(self.options))

    @property
    def name(self) -> str:
        return options_text(self.options)


def cells(scale: float = 1.0) -> Iterator[Cell]:
    """The grid. `scale`: of the numbers of draws."""
    for group, world, units, draws, options in (
        *_of_rows(),
        *_of_passages(),
        *_of_dialogues(),
        *_all_change(),
        *_rare(),
    ):
        yield Cell(group, world, tuple(options.items()), units, max(4, round(draws * scale)))


CellRow = tuple[str, str, int, int, dict[str, Any]]  # group, world, units, draws, options


def _of_rows() -> Iterator[CellRow]:
    for n in (20, 50, 100, 200, 500, 2000):
        some = 300 if n == 2000 else 400
        for flips in (0.02, 0.05, 0.1, 0.2, 0.3):
            yield "answers", "answers", n, 1500, {"n": n, "flips": flips, "drop": 0.02}
        for shape in SHAPES:
            for flips in (0.05, 0.1, 0.3):
                yield "summaries", "summaries", n, some, {"n": n, "flips": flips, "drop": 0.02, "shape": shape}
            small = {"n": n, "flips": 0.02, "drop": 0.005, "shape": shape, "margin": 0.005}
            yield "summaries", "summaries", n, some, small
        for flips in (0.05, 0.1, 0.3):
            for metric, shares in (
                ("f1", (0.7, 0.3)),
                ("mcc", (0.5, 0.5)),
                ("mcc", (0.9, 0.1)),
                ("f1,macro", (0.5, 0.4, 0.1)),
            ):
                counted = {"n": n, "metric": metric, "shares": shares, "flips": flips, "drop": 0.02}
                yield "F1 and MCC", "confusions", n, some, counted
        for flips in (0.05, 0.3, 1.0):
            yield "BLEU", "translations", n, some, {"n": n, "flips": flips, "drop": 1.0}


def _of_passages() -> Iterator[CellRow]:
    for units, size in ((40, 5), (40, 20), (100, 5), (400, 5)):
        for flips in (0.05, 0.15, 0.3):
            for together in (0.0, 0.3, 0.8):
                settings = {"units": units, "size": size, "flips": flips, "drop": 0.02}
                yield "passages", "passages", units, 400, settings | {"together": together, "uneven": True}


def _of_dialogues() -> Iterator[CellRow]:
    for units in (40, 100, 400):
        for shape in ("of any size", "losses large, gains small", "losses small, gains large"):
            for flips, together in ((0.1, 0.8), (0.3, 0.0), (0.3, 0.8)):
                settings = {"units": units, "size": 5, "flips": flips, "drop": 0.02}
                yield "dialogues", "dialogues", units, 400, settings | {"together": together, "shape": shape}


def _all_change() -> Iterator[CellRow]:
    for n in (50, 100, 200, 500):
        for skew in (0.0, 0.5, -0.5, 1.0, -1.0):
            yield "all scores change", "rewritten", n, 400, {"n": n, "spread": 0.1, "skew": skew, "drop": 0.02}


def _rare() -> Iterator[CellRow]:
    for n in (20, 30, 50, 100, 500, 2000):
        for share, size in ((0.025, 0.8), (0.005, 0.8), (0.05, 0.4)):
            settings = {"n": n, "share": share, "size": size, "drop": 0.02}
            yield "rare collapses", "rare", n, 1000, settings
            yield "rare gains", "rare", n, 1000, settings | {"size": -size}
        for flips in (0.1, 0.3):
            yield "less is better", "errors", n, 600, {"n": n, "flips": flips, "drop": 0.02}
    for n in (100, 500):
        settings = {"n": n, "flips": 0.3, "drop": 0.02, "bounded": False}
        yield "less is better", "errors", n, 600, settings


def measure(cell: Cell, seed: int) -> dict[str, Any] | None:
    """Rates over the draws of one cell; None where the world cannot be. Reproducible from the seed and the cell's
    name.
    """
    rng = np.random.default_rng([seed, *f"{cell.world} {cell.name}".encode()])
    try:
        world = cell.build()
    except ValueError:
        return None
    rates = _rates(cell, world, cell.draws, rng)
    row = {"group": cell.group, "cell": cell.name, "units": cell.units}
    for times in AGAIN:
        if _near(row | rates):
            rates = _rates(cell, world, times * cell.draws, rng)
    return row | rates


def _near(row: Mapping[str, Any]) -> bool:
    """Is a target within two standard errors, or missed?"""
    error = 2 * (0.05 * 0.95 / row["draws"]) ** 0.5
    wide = enough(row) and row["covered"] - 2**0.5 * error < COVERED
    return bool(wide or (drawn_again(row) and max(row["forgotten"], row["retained"]) + error > WRONG))


def _rates(cell: Cell, world: World, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    options = dict(cell.options)
    drop = float(options["drop"]) * (1.0 if options.get("bounded", True) else 10.0)
    counts, missed = {"forgotten": 0, "retained": 0, "inconclusive": 0}, 0
    for _ in range(draws):
        finding = found_in(world, rng)
        counts[verdict(finding)] += 1
        missed += min(finding.p_at(drop)) <= ALPHA  # the interval is what neither test rejects
    return {
        "draws": draws,
        "forgotten": counts["forgotten"] / draws,
        "retained": counts["retained"] / draws,
        "covered": 1 - missed / draws,
    }


def found_in(world: World, rng: np.random.Generator, whole: bool = False) -> Finding:
    """One draw, assessed. `whole`: where it matters how good the base was in this draw."""
    if isinstance(world, Answers):
        lost, gained, unchanged = world.counts(rng)
        return of_answers(world, lost, gained, unchanged if whole else max(0, round(world.n * world.accuracy) - lost))
    return assess_at_margin(world(rng), LEVEL)


@lru_cache(maxsize=100_000)
def of_answers(world: Answers, lost: int, gained: int, unchanged: int) -> Finding:
    """The finding of 0/1 answers depends on their counts alone, whatever their order."""
    return assess_at_margin(world.pairs(lost, gained, unchanged), LEVEL)


def verdict(finding: Finding, p_forgotten: float | None = None) -> str:
    """The verdict of `decide`, with a margin that is small against the base's skill. `p_forgotten`: adjusted,
    where it is one of a family.
    """
    own, retained = finding.p_forgotten, finding.p_retained
    if own is None or retained is None:
        raise ValueError("a verdict needs a margin")
    p = own if p_forgotten is None else p_forgotten
    return decide(p, retained, ALPHA, units=finding.units, can_retain=True)
