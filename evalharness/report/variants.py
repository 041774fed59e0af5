"""Comparisons of tasks asked in several ways to an overview and a table a task.

Nothing is estimated here: scores and intervals are shown as they are, and the spread over wordings is a largest score
minus a smallest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import candidates_of, in_order, members_of

STRICT, UNPARSED = "exact_match,strict", "unparsed,lenient"
WORDS = {
    "typos": "with typos",
    "case": "in lower case",
    "spacing": "with wider gaps",
    "worst": "worst of plain and disturbed, row by row",
}
WRITTEN = {
    "": "written, the answer anywhere in the text",
    STRICT: "written, the answer and nothing else",
    UNPARSED: "written, share without an answer",
}
KINDS = (
    "wording",
    "disturbed",
    "worst",
    "written",
)  # of ways of asking; parts of what was asked are told in overlap.py
FEW = 4  # tables that are all open
MANY = 12  # members of groups asked otherwise, beyond which the page has them as groups only
COLUMNS = {  # of the overview: a way, or a kind of ways, to its heading
    "wording": "other wording, lowest",
    "typos": "typos",
    "case": "lower case",
    "spacing": "wider gaps",
    "worst": "worst of all",
    "written": "written",
}
Rows = Mapping[tuple[str, str, str], Comparison]  # by (task, metric, candidate)


@dataclass(frozen=True, slots=True)
class WayCell:
    """One candidate asked in one way. `moved`: "fell" or "rose" where the whole interval lies on one side of zero."""

    score: str
    difference: str = ""
    interval: str = ""
    moved: str = ""
    change: float = 0.0


@dataclass(frozen=True, slots=True)
class WayRow:
    """One way of asking. `plain`: it is the one that decides; `cells` in the order of the candidates."""

    words: str
    metric: str
    plain: bool
    base: str
    cells: tuple[WayCell | None, ...]


@dataclass(frozen=True, slots=True)
class WayTable:
    """A task or group asked in several ways."""

    task: str
    level: str
    open: bool
    rows: tuple[WayRow, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Differences from the base: a line a task, a column a way, in each cell one entry a candidate (None where it was
    not asked so).
    """

    columns: tuple[str, ...]
    lines: tuple[
        tuple[str, str, tuple[tuple[WayCell | None, ...], ...]], ...
    ]  # task, level, cells; () where nobody was asked so


def asides_of(results: Results) -> dict[str, Mapping[str, str]]:
    """Tasks and groups that are another way of asking others, by name, as the signature lists them and as far as they
    were compared.
    """
    listed = results.signature.get("asides")
    if not isinstance(listed, Mapping):
        return {}
    known, there = {"of", "way", "kind", "metric"}, {c.task for c in results.comparisons}
    return {
        str(name): aside
        for name, aside in listed.items()
        if name in there and isinstance(aside, Mapping) and aside.keys() >= known
    }


def crowd(results: Results) -> frozenset[str]:
    """Other ways of asking members of groups that are too many for a page: the groups speak for them. results.json has
    them all.
    """
    asides, group = asides_of(results), members_of(results)
    members = {
        name
        for name, aside in asides.items()
        if aside["of"] in group and f"{group[aside['of']]}@{aside['way']}" in asides
    }
    return frozenset(members if len({asides[name]["of"] for name in members}) > MANY else ())


def way_tables(results: Results) -> list[WayTable]:
    """A table for every task and group that was asked in more than one way, groups before their members."""
    left_out = crowd(results)
    asked = [
        (task, first, {name: aside for name, aside in own.items() if name not in left_out})
        for task, first, own in _asked(results)
    ]
    found = [
        (task, first, _rows(first, own, _by_key(results), candidates_of(results))) for task, first, own in asked if own
    ]
    return [WayTable(task, first.level, len(found) <= FEW, tuple(of)) for task, first, of in found]


def overview(results: Results) -> Overview | None:
    """Every task outside groups and every group by the ways that it was asked in; None where nothing was asked in
    another way.
    """
    group, rows, names = members_of(results), _by_key(results), candidates_of(results)
    asked = [(task, first, own) for task, first, own in _asked(results) if task not in group]
    kinds = [aside["kind"] for _, _, own in asked for aside in own.values()]
    ways = [
        way
        for way in COLUMNS
        if way in kinds or any(aside["way"] == way for _, _, own in asked for aside in own.values())
    ]
    lines = []
    for task, first, own in asked:
        cells = [_cells(first.task, first.metric, rows, names)]
        for way in ways:
            of = [(name, aside["metric"]) for name, aside in own.items() if way in (aside["way"], aside["kind"])]
            by_way = [_cells(name, metric, rows, names) for name, metric in of]
            cells.append(tuple(map(_lowest, zip(*by_way, strict=True))) if by_way else ())
        lines.append((task, first.level, tuple(cells)))
    return Overview(("as asked", *(COLUMNS[way] for way in ways)), tuple(lines)) if lines else None


def _asked(results: Results) -> list[tuple[str, Comparison, dict[str, Mapping[str, str]]]]:
    """Tasks and groups that were asked in other ways as well, with one of their comparisons and those ways."""
    asides = asides_of(results)
    found = []
    for task, comparisons in in_order(results):
        own = {name: aside for name, aside in asides.items() if aside["of"] == task and aside["kind"] in KINDS}
        if own and comparisons[0].level != Level.SUITE:
            found.append((task, comparisons[0], own))
    return found


def _by_key(results: Results) -> Rows:
    return {(c.task, c.metric, c.candidate): c for c in results.comparisons}


def _cells(task: str, metric: str, rows: Rows, names: Sequence[str]) -> tuple[WayCell | None, ...]:
    of = [rows.get((task, metric, name)) for name in names]
    places = wording.places_for(c.difference.value for c in of if c is not None)
    return tuple(None if c is None else _cell(c, places) for c in of)


def _lowest(cells: Sequence[WayCell | None]) -> WayCell | None:
    """The cell with the largest fall (of several wordings)."""
    there = [cell for cell in cells if cell is not None]
    return min(there, key=lambda cell: cell.change) if there else None


def _rows(first: Comparison, own: Mapping[str, Mapping[str, str]], rows: Rows, names: Sequence[str]) -> list[WayRow]:
    plain = _row("as the task asks", first.task, first.metric, rows, names, plain=True)
    worded = [(name, aside) for name, aside in own.items() if aside["kind"] == "wording"]
    found = [plain, *(_row(f"wording “{aside['way']}”", name, aside["metric"], rows, names) for name, aside in worded)]
    if worded:
        found.append(_spread(first, [name for name, _ in worded], rows, names))
    for kind in ("disturbed", "worst"):
        for name, aside in own.items():
            if aside["kind"] == kind:
                if kind == "worst" and aside["metric"] != first.metric:
                    found.append(_row("as the task asks", first.task, aside["metric"], rows, names))
                found.append(_row(WORDS.get(aside["way"], aside["way"]), name, aside["metric"], rows, names))
    for name, aside in own.items():
        if aside["kind"] == "written":
            found += [_row(words, name, metric or aside["metric"], rows, names) for metric, words in WRITTEN.items()]
    return [row for row in found if row is not None]


def _row(words: str, task: str, metric: str, rows: Rows, names: Sequence[str], plain: bool = False) -> WayRow | None:
    """None where no candidate was scored so."""
    of = [rows.get((task, metric, name)) for name in names]
    there = [c for c in of if c is not None]
    if not there:
        return None
    places = wording.places_for(value for c in there for value in (c.base.value, c.candidate_score.value))
    cells = tuple(None if c is None else _cell(c, places) for c in of)
    return WayRow(words, metric, plain, wording.plain(there[0].base.value, places), cells)


def _cell(c: Comparison, places: int) -> WayCell:
    fell = c.difference.high is not None and c.difference.high < 0
    rose = c.difference.low is not None and c.difference.low > 0
    moved = "fell" if fell else "rose" if rose else ""
    difference, interval = wording.signed(c.difference.value, places), wording.interval(c.difference, places)
    return WayCell(wording.plain(c.candidate_score.value, places), difference, interval, moved, c.difference.value)


def _spread(first: Comparison, worded: Iterable[str], rows: Rows, names: Sequence[str]) -> WayRow:
    """Largest minus smallest score over the task's own wording and the others."""
    tasks = [first.task, *worded]

    def width(values: Sequence[float]) -> str:
        return wording.plain(max(values) - min(values), wording.places_for(values)) if values else wording.NONE

    of = [[c for task in tasks if (c := rows.get((task, first.metric, name))) is not None] for name in names]
    base = next(([c.base.value for c in found] for found in of if found), [])
    cells = tuple(WayCell(width([c.candidate_score.value for c in found])) for found in of)
    return WayRow("largest minus smallest over wordings", first.metric, False, width(base), cells)
