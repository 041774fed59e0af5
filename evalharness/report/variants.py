"""Tabulate the scores of tasks' variants: an overview, and a table for each task.

A variant asks the same examples in another way: with other prompts, disturbed texts, or for a written answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level, base_of, value_of
from evalharness.records.results import Results
from evalharness.records.tasks import Variant, VariantKind
from evalharness.report import wording
from evalharness.report.order import in_order, members_of

STRICT, UNPARSED = "exact_match,strict", "unparsed,lenient"
WORDS = {
    "typos": "with typos",
    "case": "in lower case",
    "spacing": "with wider gaps",
    "dialect": "in another dialect",
    "names": "with other first names",
    "worst": "worst of plain and disturbed, row by row",
}
WRITTEN = {
    "": "written, the answer anywhere in the text",
    STRICT: "written, the answer and nothing else",
    UNPARSED: "written, share without an answer",
}
KINDS = (
    VariantKind.WORDING,
    VariantKind.DISTURBED,
    VariantKind.WORST,
    VariantKind.REPLACED,
    VariantKind.WRITTEN,
)  # of ways of asking; overlap.py shows parts of tasks
FEW = 4  # tables that are all open
MANY = 12  # members of groups asked otherwise, beyond which the page has them as groups only
COLUMNS = {  # of the overview: a way, or a kind of ways, to its heading
    "wording": "other wording, lowest",
    "typos": "typos",
    "case": "lower case",
    "spacing": "wider gaps",
    "worst": "worst of all",
    "dialect": "dialect",
    "names": "other names",
    "written": "written",
}
ByKey = Mapping[tuple[str, str, str], Comparison]  # by (task, metric, candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCell:
    """One candidate on one variant, as texts. `moved`: "fell" or "rose" if the whole interval lies on one side of zero,
    else "". `change`: the difference's value; None: not measured.
    """

    score: str
    difference: str = ""
    interval: str = ""
    moved: str = ""
    change: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """One variant of a task. `words`: how it differs. `plain`: True: it is the task itself, which decides. `base`: the
    base's score. `cells`: in the order of the candidates; None: no score.
    """

    words: str
    metric: str
    plain: bool
    base: str
    cells: tuple[VariantCell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantTable:
    """One task or group with all its variants. `open`: the page shows the table unfolded. `rows`: the task itself
    first.
    """

    task: str
    level: str
    open: bool
    rows: tuple[VariantRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantOverview:
    """The candidates' differences from the base, by task and kind of variant.

    `lines`: (task, level, cells), with cells for each column: one for every candidate (None: it has no score there), or
    () if no candidate has one.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[tuple[VariantCell | None, ...], ...]], ...]


def variants_of(results: Results) -> dict[str, Variant]:
    """Return the compared tasks and groups that are variants of others, by name."""
    return {row.task: row.variant for row in results.comparisons if row.variant is not None and row.variant.beside}


def left_to_groups(results: Results) -> frozenset[str]:
    """Return the variants of groups' members if they are too many for a page, which then shows only the groups' own
    variants. results.json has them all.
    """
    every, group = variants_of(results), members_of(results)
    ways_of_groups = {(variant.of, variant.way) for variant in every.values()}
    members = {name for name, variant in every.items() if (group.get(variant.of), variant.way) in ways_of_groups}
    return frozenset(members if len({every[name].of for name in members}) > MANY else ())


def variant_tables(results: Results) -> list[VariantTable]:
    """Return a table for every task and group that has variants, groups before their members."""
    left_out = left_to_groups(results)
    listed = [
        (first, {name: variant for name, variant in own.items() if name not in left_out})
        for first, own in _with_variants(results)
    ]
    listed = [(first, own) for first, own in listed if own]
    rows, names = _by_key(results), results.candidates
    return [
        VariantTable(
            task=first.task, level=first.level, open=len(listed) <= FEW, rows=tuple(_rows(first, own, rows, names))
        )
        for first, own in listed
    ]


def overview(results: Results) -> VariantOverview | None:
    """Return the overview of every group, and every task outside groups, by kind of variant; None if there are no
    variants.
    """
    group, rows, names = members_of(results), _by_key(results), results.candidates
    listed = [(first, own) for first, own in _with_variants(results) if first.task not in group]
    names_of_ways = {name for _, own in listed for variant in own.values() for name in (variant.kind, variant.way)}
    ways = [way for way in COLUMNS if way in names_of_ways]
    lines = []
    for first, own in listed:
        cells = [_cells(first.task, first.metric, rows, names)]
        for way in ways:
            of = [(name, variant.metric) for name, variant in own.items() if way in (variant.way, variant.kind)]
            by_way = [_cells(name, metric, rows, names) for name, metric in of]
            cells.append(tuple(map(_lowest, zip(*by_way, strict=True))) if by_way else ())
        lines.append((first.task, first.level, tuple(cells)))
    return VariantOverview(columns=("as asked", *(COLUMNS[way] for way in ways)), lines=tuple(lines)) if lines else None


def _with_variants(results: Results) -> list[tuple[Comparison, dict[str, Variant]]]:
    """Return one comparison of every task and group that has variants, with the names of these."""
    every = variants_of(results)
    firsts = [comparisons[0] for _, comparisons in in_order(results) if comparisons[0].level != Level.SUITE]
    own = [
        {name: variant for name, variant in every.items() if variant.of == first.task and variant.kind in KINDS}
        for first in firsts
    ]
    return [(first, ways) for first, ways in zip(firsts, own, strict=True) if ways]


def _by_key(results: Results) -> ByKey:
    return {(c.task, c.metric, c.candidate): c for c in results.comparisons}


def _cells(task: str, metric: str, rows: ByKey, names: Sequence[str]) -> tuple[VariantCell | None, ...]:
    of_candidates = [rows.get((task, metric, name)) for name in names]
    places = wording.places_for(value_of(c.difference) for c in of_candidates if c is not None)
    return tuple(None if c is None else _cell(c, places) for c in of_candidates)


def _lowest(cells: Sequence[VariantCell | None]) -> VariantCell | None:
    """Return the cell with the largest fall, of several wordings."""
    there = [cell for cell in cells if cell is not None]
    return min(there, key=lambda cell: math.inf if cell.change is None else cell.change, default=None)


def _rows(first: Comparison, own: Mapping[str, Variant], rows: ByKey, names: Sequence[str]) -> Iterator[VariantRow]:
    """Return the rows of one task: itself, other wordings, disturbed texts, the worst of them, written answers."""
    by_kind = {kind: [(name, variant) for name, variant in own.items() if variant.kind == kind] for kind in KINDS}
    yield from _row("as the task asks", first.task, first.metric, rows, names, plain=True)
    for name, variant in by_kind[VariantKind.WORDING]:
        yield from _row(f"wording “{variant.way}”", name, variant.metric, rows, names)
    changed = (VariantKind.DISTURBED, VariantKind.WORST, VariantKind.REPLACED)
    for name, variant in (each for kind in changed for each in by_kind[kind]):
        if variant.kind is VariantKind.WORST and variant.metric != first.metric:
            yield from _row("as the task asks", first.task, variant.metric, rows, names)
        yield from _row(WORDS.get(variant.way, variant.way), name, variant.metric, rows, names)
    for name, variant in by_kind[VariantKind.WRITTEN]:
        for metric, words in WRITTEN.items():
            yield from _row(words, name, metric or variant.metric, rows, names)


def _row(
    words: str, task: str, metric: str, rows: ByKey, names: Sequence[str], plain: bool = False
) -> Iterator[VariantRow]:
    """Yield one row; none if no candidate has a score on this variant."""
    of_candidates = [rows.get((task, metric, name)) for name in names]
    scored = [c for c in of_candidates if c is not None]
    if scored:
        places = wording.places_for(value for c in scored for value in wording.values_of(c)[:2])
        cells = tuple(None if c is None else _cell(c, places) for c in of_candidates)
        yield VariantRow(
            words=words, metric=metric, plain=plain, base=wording.plain(value_of(base_of(scored)), places), cells=cells
        )


def _cell(c: Comparison, places: int) -> VariantCell:
    change = wording.change_of(c, places)
    moved = wording.direction(c.difference)
    return VariantCell(
        score=change.candidate,
        difference=change.difference,
        interval=change.interval,
        moved=moved,
        change=value_of(c.difference),
    )
