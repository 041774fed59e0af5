"""Tabulate every comparison, in columns that a reader can sort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalharness.analysis.phrases import leaning, would_decide
from evalharness.analysis.relative import relative_scores
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.flags import flag_words, shown_flags
from evalharness.report.variants import left_to_groups


@dataclass(frozen=True, slots=True)
class SortableCell:
    """What is read in a cell, and what it is sorted by (None: always last)."""

    text: str
    value: float | str | None
    kind: str = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailTable:
    """Each line maps column titles, the same in all, to cells. `shortened`: comparisons of members of groups were left
    out.
    """

    lines: Sequence[Mapping[str, SortableCell]]
    shortened: bool


def details(results: Results) -> DetailTable:
    """All comparisons but those that the page leaves to groups."""
    relative, left_out = relative_scores(results), left_to_groups(results)
    rows = zip(results.comparisons, relative["over_base"], relative["over_full"], strict=True)
    lines = [_line(c, over_base, over_full) for c, over_base, over_full in rows if c.task not in left_out]
    return DetailTable(lines=lines, shortened=bool(left_out))


def _line(c: Comparison, over_base: float, over_full: float) -> dict[str, SortableCell]:
    base, candidate, difference = wording.values_of(c)
    places = wording.places_of(c)
    shown = wording.change_of(c, places)
    remarks = "; ".join([flag_words(flag).words for flag in shown_flags(c)] + ([] if c.primary else ["describes only"]))
    units = f"{c.n:,}" + (f" of {c.available:,}" if c.available > c.n else "")
    return {
        "Task": SortableCell(c.task, c.task, c.level),
        "Metric": SortableCell(c.metric, c.metric, "text"),
        "Candidate": SortableCell(c.candidate, c.candidate, "text"),
        "Verdict": SortableCell(c.verdict or wording.NONE, c.verdict, "verdict"),
        "n": SortableCell(units, c.n),
        "Base": SortableCell(shown.base, base),
        "Candidate score": SortableCell(shown.candidate, candidate),
        "Difference": SortableCell(shown.difference, difference),
        "Interval": SortableCell(shown.interval or wording.NONE, None if c.difference is None else c.difference.low),
        "vs base": _change(over_base),
        "vs full": _change(over_full),
        "Margin δ": SortableCell(wording.plain(c.margin, places), c.margin),
        "Lost": _count(c.lost),
        "Gained": _count(c.gained),
        "Forgotten without guesses": _share(c.flips.forgotten if c.flips else None),
        "Retention": _share(c.retention),
        "p forgotten": _p_value(c.p_forgotten),
        "Holm-adjusted": _p_value(c.p_forgotten_adjusted),
        "p retained": _p_value(c.p_retained),
        "p difference": _p_value(c.p_difference),
        "q forgotten (BH)": _p_value(c.q_forgotten),
        "q difference (BH)": _p_value(c.q_difference),
        "Leans to": SortableCell(leaning(c).removeprefix("leans "), leaning(c), "text"),
        "n for it": _count(c.would_decide.examples if c.would_decide else None),
        "Would decide": SortableCell(would_decide(c), would_decide(c), "text"),
        "Remarks": SortableCell(remarks, remarks, "flags"),
    }


def _p_value(p: float | None) -> SortableCell:
    return SortableCell(wording.p_value(p), p)


def _count(count: int | None) -> SortableCell:
    return SortableCell(wording.NONE if count is None else f"{count:,}", count)


def _share(estimate: Estimate | None) -> SortableCell:
    """A share with its interval."""
    if estimate is None:
        return SortableCell(wording.NONE, None)
    return SortableCell(wording.with_interval(estimate, sign=False), estimate.value)


def _change(share: float) -> SortableCell:
    """A relative change; NaN where there is nothing to relate to."""
    return SortableCell(wording.signed_percent(share), None if math.isnan(share) else float(share))
