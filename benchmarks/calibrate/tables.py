"""Write rows of rates as Markdown tables between the marks of the pages: of each kind of score the worst cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from targets import Held, Row, claims_of, enough, worst


def filled(pages: Sequence[str], rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """The pages with every table that there are rows for. Raises ValueError for a table whose mark is on no page."""
    texts = list(pages)
    for name, (part, lines) in TABLES.items():
        if rows.get(part):
            _place(texts, name, lines(rows[part]))
    claims = claims_of(rows)
    if claims:
        _place(texts, "targets", _targets(claims, rows.get("scale", ())))
    return texts


def _place(pages: list[str], name: str, lines: Iterator[str]) -> None:
    begin, end = f"<!-- made by benchmarks/calibrate: {name} -->", "<!-- end -->"
    at = next((i for i, page in enumerate(pages) if begin in page), None)
    if at is None:
        raise ValueError(f"no page has the mark {begin}")
    before, _, after = pages[at].partition(begin)
    pages[at] = before + begin + "\n" + "\n".join(lines) + "\n" + end + after.partition(end)[2]


def _table(head: Sequence[str], lines: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield f"| {' | '.join(line)} |"


def _targets(claims: Sequence[Held], scales: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for what, (count, least) in worst(claims).items():
            error = f" ± {percent(least.error)}" if least.error else ""
            met = "yes" if least.slack >= 0 else "**no**"
            yield [
                what,
                f"{'≤' if least.at_most else '≥'} {percent(least.limit)}",
                f"{percent(least.value)}{error}",
                _short(least.cell),
                str(count),
                met,
            ]

    yield from _table(("claim", "target", "the worst", "in", "rows", "met"), lines())
    yield from _scales(scales)


def _scales(scales: Sequence[Row]) -> Iterator[str]:
    """Which --scale the parts were drawn with, where it is not 1 for all."""
    parts_by_scale = {
        f"{row['scale']:g}": ", ".join(each["part"] for each in scales if each["scale"] == row["scale"])
        for row in scales
    }
    if len(parts_by_scale) == 1 and "1" not in parts_by_scale:
        yield f"\nDrawn by `python benchmarks/calibrate --scale {next(iter(parts_by_scale))}`."
    elif len(parts_by_scale) > 1:
        yield f"\nDrawn by `--scale`: {'; '.join(f'{scale} of {parts}' for scale, parts in parts_by_scale.items())}."


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
            wrong = []
            for verdict in ("forgotten", "retained"):
                most = max(cells, key=lambda row: row[verdict])
                wrong += [percent(most[verdict]), _short(most["cell"])]
            least = min((row for row in cells if enough(row)), key=lambda row: row["covered"], default=None)
            draws = sorted({row["draws"] for row in cells})
            yield [
                group,
                f"{len(cells)}, {draws[0]:,}–{draws[-1]:,}",
                *wrong,
                percent(least["covered"] if least else None),
                _short(least["cell"]) if least else "–",
            ]

    head = (
        "scores",
        "cells, draws of each",
        "*forgotten* at most",
        "in",
        "*retained* at most",
        "in",
        "90 % intervals cover at least",
        "in",
    )
    return _table(head, lines())


def _short(cell: str) -> str:
    """A cell's name without what is the same in all cells."""
    for what, instead in (
        (", drop 0.02", ""),
        (", drop 1.0", ""),
        (", uneven True", ""),
        ("shape ", ""),
        ("together", "dependence"),
    ):
        cell = cell.replace(what, instead)
    return cell


def _coverage(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for group, cells in _groups(rows).items():
            for units in sorted({row["units"] for row in cells if not enough(row)}):
                some = sorted((row for row in cells if row["units"] == units), key=lambda row: row["covered"])
                yield [
                    group,
                    str(units),
                    percent(some[0]["covered"]),
                    _short(some[0]["cell"]),
                    percent(some[len(some) // 2]["covered"]),
                ]

    return _table(("scores", "units", "cover at least", "in", "in the middle"), lines())


def _suites(rows: Sequence[Row]) -> Iterator[str]:
    names = ("gate fails", "gate passes", "foretold passes", "any forgotten", "any suspect")

    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            suite = [percent(row.get(f"suite {verdict}", 0.0)) for verdict in ("forgotten", "retained")]
            rates = [percent(row.get(name, None if name.startswith("foretold") else 0.0)) for name in names]
            yield [f"{row['group']}: {row['cell']}", *rates, *suite, f"{row['draws']:,}"]

    head = ("truth: suite", "gate fails", "passes", "forecast", "any *forgotten*", "any suspect")
    return _table((*head, "suite *forgotten*", "suite *retained*", "draws"), lines())


def _losing(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            passes = [row.get(f"foretold at {margins}") for margins in (1, 2, 3)]
            if any(share is not None for share in passes):
                yield [row["cell"], *(percent(share) for share in passes), f"{row['foretold draws']:,}"]

    return _table(("suite", "one task loses 1 margin: passes", "2 margins", "3 margins", "draws"), lines())


def _needed(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            rate = percent(row["as named"])
            yield [f"{row['group']}: {_short(row['cell'])}", f"{row['units']:,.0f}", rate, f"{row['draws']:,}"]

    return _table(("undecided", "examples named, in the middle", "the named verdict comes out", "draws"), lines())


def _rival(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            rates = [percent(row[f"{whose} {how}"]) for how in ("passes", "fails") for whose in ("ours", "theirs")]
            yield [row["cell"], *rates, f"{row['draws']:,}"]

    return _table(("truth", "passes: evalharness", "nel gate", "fails: evalharness", "nel gate", "draws"), lines())


def _foretold(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            scale = 1 if row["group"] == "BLEU" else 100
            forecasts = [percent(row.get(f"{claim} foretold")) for claim in ("retained", "forgotten")]
            rates = [percent(row.get(claim)) for claim in ("retained", "forgotten")]
            at = ["–" if row.get(what) is None else f"{scale * row[what]:.1f}" for what in ("margin", "drop")]
            world = [percent(row.get(f"{claim} otherwise")) for claim in ("retained", "forgotten")]
            cells = [forecasts[0], rates[0], world[0], at[1], forecasts[1], rates[1], world[1]]
            yield [f"{row['group']}: {_short(row['cell'])}", at[0], *cells, f"{row['draws']:,}"]

    columns = ("forecast", "seen", "in the world")
    head = (
        "scores",
        "margin, points",
        *(f"*retained*: {of}" for of in columns),
        "drop, points",
        *(f"*forgotten*: {of}" for of in columns),
        "draws",
    )
    return _table(head, lines())


def _watched(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            yield [
                row["cell"],
                *(percent(row[name]) for name in ("forgotten", "retained", "inconclusive", "share")),
                f"{row['draws']:,}",
            ]

    return _table(
        ("stream, verdict on", "forgotten", "retained", "inconclusive", "answered until then, in the mean", "draws"),
        lines(),
    )


def _until(rows: Sequence[Row]) -> Iterator[str]:
    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            first = [percent(row.get(f"first {verdict}", 0.0)) for verdict in ("forgotten", "retained")]
            suite = [percent(row.get(f"suite {verdict}", 0.0)) for verdict in ("forgotten", "retained")]
            tested = row["group"] not in ("one at its margin", "all at their margin")
            rates = [*first, percent(row.get("any forgotten", 0.0)), *(suite if tested else ("–", "–"))]
            yield [f"{row['group']}: {row['cell']}", percent(row["asked"]), *rates, f"{row['draws']:,}"]

    head = (
        "gate units",
        "asked",
        "the first *forgotten*",
        "*retained*",
        "any *forgotten*",
        "suite *forgotten*",
        "*retained*",
        "draws",
    )
    return _table(head, lines())


def _plan(rows: Sequence[Row]) -> Iterator[str]:
    flips = sorted({float(name.split(" at ")[1]) for name in rows[0] if " at " in name})

    def lines() -> Iterator[Sequence[str]]:
        for row in rows:
            points = [[_points(row[f"{what} at {share}"]) for share in flips] for what in ("margin", "drop")]
            retained = " / ".join(f"{100 * row[f'retained at {share}']:.0f} %" for share in flips)
            yield [row["cell"], f"{row['n']:,}", " / ".join(points[0]), retained, " / ".join(points[1])]

    head = (
        "set",
        "answers",
        "smallest margin that is certified",
        "*retained* at margin .02",
        "smallest drop that is found at margin .02",
    )
    return _table(head, lines())


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


TABLES: Mapping[str, tuple[str, Callable[[Sequence[Row]], Iterator[str]]]] = {
    "margin": ("margin", _margin),
    "coverage": ("margin", _coverage),
    "suites": ("suites", _suites),
    "losing": ("suites", _losing),
    "needed": ("needed", _needed),
    "rival": ("rival", _rival),
    "forecast": ("foretold", _foretold),
    "watched": ("watched", _watched),
    "until": ("until", _until),
    "plan": ("plan", _plan),
}
"""A table's name on the page to the part of the rows that it is made from, and how."""
