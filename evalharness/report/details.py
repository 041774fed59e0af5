"""Tabulate all comparisons in sortable columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from evalharness.analysis.phrases import leaning, would_decide
from evalharness.analysis.relative import relative_scores
from evalharness.records.comparison import Comparison, EngineNoise, Estimate
from evalharness.records.results import Results
from evalharness.records.tasks import HumanLevel
from evalharness.report import wording
from evalharness.report.flags import flag_words, shown_flags
from evalharness.report.variants import variants_of


@dataclass(frozen=True, slots=True)
class SortableCell:
    """One cell of the table. `text`: what it shows. `value`: what it is sorted by; None: always last. `kind`: "number"
    or the name of another style. `more`: True: the column is shown on demand only.
    """

    text: str
    value: float | str | None
    kind: str = "number"
    more: bool = False

    @property
    def attribute(self) -> Markup:
        """The HTML attribute with the value to sort by, to six figures; empty if the text is the same."""
        if self.value is None or isinstance(self.value, str) or self.text == (short := f"{self.value:.6g}"):
            return Markup("")
        return Markup(' data-v="{}"').format(short)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailTable:
    """The table of all comparisons.

    `lines`: for each row its cells by column title, the same titles in all. `shortened`: True: variants of tasks were
    left out. `people`: the source of human scores; "": the table has none.
    """

    lines: Sequence[Mapping[str, SortableCell]]
    shortened: bool
    people: str = ""


def details(results: Results) -> DetailTable:
    """Return the table of all comparisons except those of variants of tasks (other prompts, disturbed texts), which
    have tables of their own.
    """
    relative, left_out = relative_scores(results), variants_of(results)
    rows = zip(results.comparisons, relative["over_base"], relative["over_full"], strict=True)
    lines = [_line(c, over_base, over_full) for c, over_base, over_full in rows if c.task not in left_out]
    levels = [c.human for c in results.comparisons if c.task not in left_out]
    if any(levels):
        lines = [{**line, "People": _people(level)} for line, level in zip(lines, levels, strict=True)]
    noises = [c.engine_noise for c in results.comparisons if c.task not in left_out]
    if any(noises):
        lines = [{**line, "Engine noise": _noise(noise)} for line, noise in zip(lines, noises, strict=True)]
    sources = dict.fromkeys(level.source for level in levels if level)
    return DetailTable(lines=lines, shortened=bool(left_out), people="; ".join(sources))


def _line(c: Comparison, over_base: float, over_full: float) -> dict[str, SortableCell]:
    base, candidate, difference = wording.values_of(c)
    unit = wording.unit_of(c)
    remarks = "; ".join([flag_words(flag).words for flag in shown_flags(c)] + ([] if c.primary else ["describes only"]))
    units = f"{c.n:,}" + (f" of {c.available:,}" if c.available > c.n else "")
    leans = leaning(c).removeprefix("leans ")
    first = {
        "Task": SortableCell(c.task, c.task, c.level),
        "Metric": SortableCell(_metric(c.metric, unit.name), c.metric, "text"),
        "Candidate": SortableCell(c.candidate, c.candidate, "text"),
        "Verdict": SortableCell(c.verdict or wording.NONE, c.verdict, "verdict"),
        "Base": SortableCell(unit.score(base), base),
        "Candidate score": SortableCell(unit.score(candidate), candidate),
        "Difference": SortableCell(unit.change(difference), difference),
        "Interval": SortableCell(
            unit.interval(c.difference) or wording.NONE, None if c.difference is None else c.difference.low
        ),
    }
    more = {
        "n": SortableCell(units, c.n),
        "Margin": SortableCell(unit.score(c.margin), c.margin),
        "vs base": _change(over_base),
        "vs full": _change(over_full),
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
        "Leans to": SortableCell(leans, leans, "text"),
        "n for it": _count(c.would_decide.examples if c.would_decide else None),
        "Would decide": SortableCell(would_decide(c), would_decide(c), "text"),
        "Remarks": SortableCell(remarks, remarks, "flags"),
    }
    return first | {title: replace(cell, more=True) for title, cell in more.items()}


def _people(level: HumanLevel | None) -> SortableCell:
    """Return the published human score by the same metric."""
    value = None if level is None else level.value
    return SortableCell(wording.plain(value, 3), value, more=True)


def _noise(noise: EngineNoise | None) -> SortableCell:
    """Say how many answers the engine alone changed, and by how much the tests are widened for it."""
    if noise is None:
        return SortableCell(wording.NONE, None, more=True)
    return SortableCell(f"{noise.flips} of {noise.n}, ±{noise.widened_by:.2g}", noise.widened_by, more=True)


def _metric(metric: str, unit: str) -> str:
    """Return the metric, and its unit if that has another name."""
    return metric if unit == metric else f"{metric}, {unit}"


def _p_value(p: float | None) -> SortableCell:
    return SortableCell(wording.p_value(p), p)


def _count(count: int | None) -> SortableCell:
    return SortableCell(wording.NONE if count is None else f"{count:,}", count)


def _share(estimate: Estimate | None) -> SortableCell:
    """Return a share with its interval."""
    if estimate is None:
        return SortableCell(wording.NONE, None)
    return SortableCell(wording.with_interval(estimate, sign=False), estimate.value)


def _change(share: float) -> SortableCell:
    """Return a relative change as a cell; one that is not known (NaN) is sorted last."""
    return SortableCell(wording.signed_percent(share), None if math.isnan(share) else float(share))
