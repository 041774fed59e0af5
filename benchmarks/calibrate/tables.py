"""Rows of rates, to Markdown tables between the marks of a page: for each kind of score the worst cell, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from targets import Held, Row, enough


def written(page: str, rows: Mapping[str, Sequence[Row]]) -> str:
    """The page with every table that there are rows for. Raises ValueError for a page without the marks."""
    for name, lines in (("margin", _margin), ("coverage", _coverage), ("suites", _suites), ("power", _power), ("watched", _watched), ("plan", _plan)):
        part = {"coverage": "margin", "power": "suites"}.get(name, name)
        if not rows.get(part):
            continue
        begin, end = f"<!-- made by benchmarks/calibrate: {name} -->", "<!-- end -->"
        before, found, after = page.partition(begin)
        if not found:
            raise ValueError(f"the page has no mark {begin}")
        page = before + begin + "\n" + "\n".join(lines(rows[part])) + "\n" + end + after.partition(end)[2]
    return page


def _table(head: Sequence[str], lines: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield f"| {' | '.join(line)} |"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def against(claim: Held) -> str:
    """The value and its limit."""
    error = f" ± {percent(claim.error)}" if claim.error else ""
    return f"{percent(claim.value)}{error}, {'at most' if claim.at_most else 'at least'} {percent(claim.limit)}"


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    return groups


def _margin(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for group, cells in _groups(rows).items():
            said = []
            for verdict in ("forgotten", "retained"):
                worst = max(cells, key=lambda row: row[verdict])
                said += [percent(worst[verdict]), _short(worst["cell"])]
            held = min((row for row in cells if enough(row)), key=lambda row: row["covered"], default=None)
            draws = sorted({row["draws"] for row in cells})
            yield [
                group,
                f"{len(cells)}, {draws[0]:,}–{draws[-1]:,}",
                *said,
                percent(held and held["covered"]),
                _short(held["cell"]) if held else "–",
            ]

    head = ("scores", "cells, draws of each", "*forgotten* at most", "in", "*retained* at most", "in", "90 % intervals cover at least", "in")
    return _table(head, lines())


def _short(cell: str) -> str:
    """A cell's name without what is the same in all cells."""
    for what, instead in ((", drop 0.02", ""), (", drop 1.0", ""), (", uneven True", ""), ("shape ", ""), ("together", "dependence")):
        cell = cell.replace(what, instead)
    return cell


def _coverage(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for group, cells in _groups(rows).items():
            for units in sorted({row["units"] for row in cells if not enough(row)}):
                some = sorted((row for row in cells if row["units"] == units), key=lambda row: row["covered"])
                yield [group, str(units), percent(some[0]["covered"]), _short(some[0]["cell"]), percent(some[len(some) // 2]["covered"])]

    return _table(("scores", "units", "cover at least", "in", "in the middle"), lines())


def _suites(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        groups = _groups(rows)
        for row in groups.get("all at the margin", []):
            yield ["all tasks at their margin: any called forgotten", row["cell"], percent(row.get("any forgotten", 0.0)), f"{row['draws']:,}"]
        for row in groups.get("one lost ten points", []):
            found = f"{percent(row.get('found', 0.0))}, alone {percent(row.get('alone found', 0.0))}"
            yield ["one task lost ten points, the others nothing: found", f"{row['cell']} (others .15)", found, f"{row['draws']:,}"]
        for name in ("forgotten", "retained"):
            worst = max(groups.get("suite at its margin", []), key=lambda row: row.get(f"{name} by units", 0.0), default=None)
            if worst:
                yield [f"suite at its margin: {name} at most", worst["cell"], percent(worst.get(f"{name} by units", 0.0)), f"{worst['draws']:,}"]
        worst = max(groups.get("nothing changed", []), key=lambda row: row.get("gate fails", 0.0), default=None)
        if worst:
            what = "nothing changed but by chance: a task or the suite called forgotten, at most"
            yield [what, worst["cell"], percent(worst.get("gate fails", 0.0)), f"{worst['draws']:,}"]

    return _table(("truth and claim", "suite", "how often", "draws"), lines())


def _power(rows: Sequence[Row]) -> Iterator[str]:
    ways = ("units", "skill", "answers")

    def lines() -> Iterator[Sequence[str]]:
        for row in _groups(rows).get("nothing changed", []):
            yield [row["cell"], *(percent(row.get(f"retained by {way}", 0.0)) for way in ways)]
        for name in ("forgotten", "retained"):
            cells = _groups(rows).get("suite at its margin", [])
            yield [
                f"*wrongly {name} at the margin, at most*",
                *(percent(max((row.get(f"{name} by {way}", 0.0) for row in cells), default=0.0)) for way in ways),
            ]

    return _table(("suite", "every unit the same", "by skill", "by answers"), lines())


def _watched(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            yield [row["cell"], *(percent(row[name]) for name in ("forgotten", "retained", "inconclusive", "share")), f"{row['draws']:,}"]

    return _table(("stream, verdict on", "forgotten", "retained", "inconclusive", "answered until then, in the mean", "draws"), lines())


def _plan(rows: Sequence[Row]) -> Iterator[str]:
    flips = sorted({float(name.split(" at ")[1]) for name in rows[0] if " at " in name})

    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            points = [[_points(row[f"{what} at {share}"]) for share in flips] for what in ("margin", "drop")]
            retained = " / ".join(f"{100 * row[f'retained at {share}']:.0f} %" for share in flips)
            yield [row["cell"], f"{row['n']:,}", " / ".join(points[0]), retained, " / ".join(points[1])]

    head = ("set", "answers", "smallest margin that is certified", "*retained* at margin .02", "smallest drop that is found at margin .02")
    return _table(head, lines())


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
