"""Rows of the calibration, to which target each is held and whether it is met.

A rate of ENOUGH draws or more misses its target where it exceeds it, by whatever little; a true rate of .05 nearly
never does. Rates of fewer draws, and differences between a forecast and what was seen, are allowed two standard
errors. What `claims_of` does not name is shown only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
ALPHA = 0.05
WRONG = 0.065  # of either verdict where the true difference is exactly at the margin
COVERED = 0.88  # of intervals of 90 %
ANY = 0.07  # something of many tasks called forgotten, all of them at the margin
FAILS = 0.1  # the gate, all of them at the margin
NEAR = 0.03  # the gate fails where nothing changed
BOUGHT = 0.06  # the gate passes where one gain stands beside many losses
FOUND = 0.95  # the one of 15 that lost ten points
OFF = 0.03  # of a forecast
SOON = 0.25  # of 1,000 answers, for a loss of eight points
ENOUGH = 1500  # draws
ENOUGH_UNITS = {"passages": 40, "dialogues": 40}  # from how many units on an interval is held to its coverage
OTHERWISE = 200
STRESS = "all scores change"  # worlds with tails that no sample shows: drawn to be seen, and held to nothing


@dataclass(frozen=True, slots=True)
class Held:
    """`what` of a row was held to `limit`: at most, or at least. `error`: two standard errors, where they are allowed
    for.
    """

    what: str
    cell: str
    value: float
    limit: float
    at_most: bool = True
    error: float = 0.0

    @property
    def slack(self) -> float:
        """How far the value is within its limit; below 0: missed."""
        return (self.limit + self.error - self.value) if self.at_most else (self.value + self.error - self.limit)


def claims_of(rows: Mapping[str, Sequence[Row]]) -> list[Held]:
    """Every claim of every row of all parts."""
    of = {
        "margin": _margin,
        "suites": _suites,
        "needed": _needed,
        "foretold": _foretold,
        "watched": _watched,
        "until": _until,
    }
    return [claim for part, claims in of.items() for row in rows.get(part, ()) for claim in claims(row)]


def missed(rows: Mapping[str, Sequence[Row]]) -> list[Held]:
    return [claim for claim in claims_of(rows) if claim.slack < 0]


def worst(claims: Sequence[Held]) -> dict[str, tuple[int, Held]]:
    """Of each target: how many rows are held to it, and the one with least slack."""
    targets: dict[str, tuple[int, Held]] = {}
    for claim in claims:
        count, least = targets.get(claim.what, (0, claim))
        targets[claim.what] = (count + 1, min(least, claim, key=lambda each: each.slack))
    return targets


def enough(row: Row) -> bool:
    """Is an interval of so many units held to its coverage?"""
    return bool(row["units"] >= ENOUGH_UNITS.get(row["group"], OTHERWISE))


def drawn_again(row: Row) -> bool:
    """Are its verdicts worth more draws where they come near the target?"""
    return bool(row["group"] != STRESS or row["units"] >= OTHERWISE)


def _rate(what: str, row: Row, value: float, limit: float, at_most: bool = True, cell: str | None = None) -> Held:
    error = 0.0 if row["draws"] >= ENOUGH else 2 * (limit * (1 - limit) / row["draws"]) ** 0.5
    return Held(what, cell or row["cell"], value, limit, at_most, error)


def _margin(row: Row) -> Iterator[Held]:
    cell = f"{row['group']}: {row['cell']}"
    if row["group"] == STRESS:
        return
    for name in ("forgotten", "retained"):
        yield _rate(f"a task at its margin: wrongly {name}", row, row[name], WRONG, cell=cell)
    if enough(row):
        yield _rate("a task at its margin: the interval covers", row, row["covered"], COVERED, False, cell)


SUITES: Mapping[str, Sequence[tuple[str, str, float, bool]]] = {  # of a kind: rate, claim, limit, at most?
    "nothing changed, bases near chance": [("gate fails", "the gate fails", NEAR, True)],
    "all at their margin": [
        ("any forgotten", "any called forgotten", ANY, True),
        ("gate fails", "the gate fails", FAILS, True),
        ("all retained", "all called retained", WRONG, True),
        ("suite forgotten", "the suite wrongly forgotten", WRONG, True),
        ("suite retained", "the suite wrongly retained", WRONG, True),
    ],
    "suite at its margin": [
        ("suite forgotten", "wrongly forgotten", WRONG, True),
        ("suite retained", "wrongly retained", WRONG, True),
        ("covered", "the interval covers", COVERED, False),
    ],
    "nothing lost, one graded task": [("all retained", "retained", 0.85, False)],
    "all but one lost 2.5 points, one gained fifty": [("gate passes", "the gate passes", BOUGHT, True)],
}
SUITES_BY_CELL: Mapping[tuple[str, str], tuple[str, str, float, bool]] = {
    ("nothing changed", "15 × 500, flips 0.05"): ("gate passes", "the gate passes", 0.97, False),
    ("nothing changed", "15 × 500, flips 0.2"): ("gate passes", "the gate passes", 0.9, False),
    ("nothing changed", "57 × 200, flips 0.2"): ("any suspect", "any suspect", 0.15, True),
    ("one lost ten points", "15 × 500, flips 0.15"): ("found", "found", FOUND, False),
    ("one lost ten points", "15 × 500, flips 0.2"): ("gate passes", "the gate passes", 0.01, True),
    ("one lost five points", "15 × 500, flips 0.1"): ("gate passes", "the gate passes", 0.35, True),
}


def _suites(row: Row) -> Iterator[Held]:
    kind, cell = row["group"], row["cell"]
    by_cell = SUITES_BY_CELL.get((kind, cell))
    for rate, claim, limit, at_most in [*SUITES.get(kind, ()), *([by_cell] if by_cell else ())]:
        if kind == "suite at its margin, by one task alone":
            continue
        what = f"{kind}, {cell}: {claim}" if (rate, claim, limit, at_most) == by_cell else f"{kind}: {claim}"
        yield _rate(what, row, row.get(rate, 0.0), limit, at_most)
    if kind == "suite at its margin, by one task alone":
        for name in ("forgotten", "retained"):
            yield _rate(f"{kind}: wrongly {name}", row, row.get(f"suite {name}", 0.0), WRONG)
    if kind == "nothing changed":
        yield _rate("nothing changed: the gate fails", row, row.get("gate fails", 0.0), NEAR)
    if "foretold passes" in row:
        rate, forecast = row.get("gate passes", 0.0), row["foretold passes"]
        yield _near("nothing changed: the gate passes as forecast", cell, rate, forecast, row)


def _needed(row: Row) -> Iterator[Held]:
    cell = f"{row['group']}: {row['cell']}"
    yield _rate("would decide: the named verdict, at least", row, row["as named"], 0.75, False, cell)
    yield _rate("would decide: the named verdict, at most", row, row["as named"], 0.9, True, cell)


def _foretold(row: Row) -> Iterator[Held]:
    """Of rows drawn again, plan promises a margin that is certified at least so often: where few changes mean another
    test, power rises in steps.
    """
    for claim in ("retained", "forgotten"):
        if claim == "retained" and row["foretold draws"] and row.get(claim, 0.0) > row.get("retained foretold", 1.0):
            continue
        if f"{claim} foretold" in row:
            yield _near(
                f"{claim} as forecast", f"{row['group']}: {row['cell']}", row[claim], row[f"{claim} foretold"], row
            )


def _near(what: str, cell: str, rate: float, forecast: float, row: Row) -> Held:
    """Draws of 0: the forecast is exact."""
    draws = (row["draws"], row["foretold draws"])
    variance = sum(share * (1 - share) / n for share, n in zip((rate, forecast), draws, strict=True) if n)
    return Held(what, cell, abs(rate - forecast), OFF, error=2 * variance**0.5)


def _watched(row: Row) -> Iterator[Held]:
    difference, margin = row["difference"], row["margin"]
    for name, wrong in (("forgotten", difference >= -margin), ("retained", difference <= -margin)):
        if wrong:
            yield _rate(f"watched: wrongly {name}", row, row[name], ALPHA)
    if (row["n"], row["flips"], difference) == (1000, 0.1, -0.08):
        yield Held("watched: eight points lost are found after", row["cell"], row["share"], SOON)


def _until(row: Row) -> Iterator[Held]:
    """Rates of few draws, with two standard errors allowed for."""
    wrong = {
        "one at its margin": ("first forgotten", "first retained"),
        "all at their margin": ("any forgotten",),
        "suite at its margin": ("suite forgotten", "suite retained"),
    }
    for name in wrong.get(row["group"], ()):
        rate = row.get(name, 0.0)
        yield Held(
            f"stopped early, {row['group']}: {name}",
            row["cell"],
            rate,
            ALPHA,
            error=2 * (rate * (1 - rate) / row["draws"]) ** 0.5,
        )
    if row["group"] == "nothing changed":
        yield Held("stopped early, nothing changed: any forgotten", row["cell"], row.get("any forgotten", 0.0), ALPHA)
    if row["group"] == "one of 15 lost ten points":
        yield Held(
            "stopped early, one of 15 lost ten points: alone found",
            row["cell"],
            row.get("alone found", 0.0),
            FOUND,
            at_most=False,
        )
    if row["cell"] == "1 × 1000 answers, flips 0.1, lost 0.08":
        yield Held("stopped early: eight points lost are found after", row["cell"], row["asked"], SOON)
