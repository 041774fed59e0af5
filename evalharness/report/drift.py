"""Tabulate how far candidates' predictions drifted from their base's, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Estimate
from evalharness.records.results import Drift, Results
from evalharness.report import wording
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned

LONGEST = 60  # characters of a name
PLACES = 4
SMALLEST = 10**-PLACES / 2
REFERENCE = "reference"
TITLES = ("", "", "KL", "{} interval", "same top token", "{} interval", "cross-entropy", "{} interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """One model on one kind of text, as texts. `cells`: KL, agreement and cross-entropy, each with its interval; empty
    if `reason` says why they are not known. `candidate`: False for a reference model.
    """

    rank: str
    model: str
    candidate: bool
    cells: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTable:
    """One kind of text, with all models, the one that drifted most first. `level`: coverage of the intervals."""

    title: str
    level: str
    sentences: tuple[str, ...]
    rows: tuple[DriftRow, ...]


def tables(results: Results) -> tuple[DriftTable, ...]:
    """Return a table for each kind of text; () if drift was not measured."""
    judged = {model.name for model in results.models if model.judged}
    kinds = dict.fromkeys(drift.text for drift in results.drift)
    return tuple(_table([drift for drift in results.drift if drift.text == kind], judged) for kind in kinds)


def lines(results: Results) -> Iterator[str]:
    """Yield the tables as terminal lines, the candidate that drifted most first; none if drift was not measured."""
    for table in tables(results):
        yield ""
        yield f"drift {plain(table.title)} (per token, KL and cross-entropy in nats; a warning, no verdict)"
        titles = tuple(title.format(table.level) for title in TITLES)
        if rows := [(row.rank, row.model, *row.cells) for row in table.rows if row.cells]:
            yield from (f"  {line}" for line in aligned([titles, *rows], range(2, len(titles))))
        yield from (plain(f"  {row.model}: not known: {row.reason}") for row in table.rows if not row.cells)


def text_of(drift: Drift) -> str:
    """Return in words the kind of text on which the drift was measured."""
    return f"{drift.text} text" if drift.text == "neutral" else f"the base's {drift.text}"


def _table(drifts: list[Drift], judged: set[str]) -> DriftTable:
    measured = next((drift for drift in drifts if drift.kl is not None), None)
    size = f": {wording.counted(measured.n, 'text')}, {wording.counted(measured.tokens, 'token')}" if measured else ""
    return DriftTable(
        title=f"{text_of(drifts[0])}{size}",
        level=coverage(drifts[0].ci_level),
        sentences=tuple(_sentences(drifts)),
        rows=tuple(_row(drift, drift.model in judged) for drift in drifts),
    )


def _row(drift: Drift, candidate: bool) -> DriftRow:
    name = wording.one_line(drift.model, LONGEST)
    unranked = wording.NONE if candidate else REFERENCE
    rank = unranked if drift.rank is None else str(drift.rank)
    if drift.kl is None or drift.agreement is None or drift.cross_entropy_change is None:
        return DriftRow(
            rank=rank, model=name, candidate=candidate, cells=(), reason=wording.one_line(drift.reason, 3 * LONGEST)
        )
    change = drift.cross_entropy_change
    cells = (
        ("" if drift.exact else "≥ ") + _nats(drift.kl.value),
        wording.interval(drift.kl, PLACES, sign=False) or wording.NONE,
        wording.percent(drift.agreement.value),
        _percents(drift.agreement),
        f"{wording.plain(drift.base_cross_entropy, PLACES)} {wording.signed(change.value, PLACES)}",
        wording.interval(change, PLACES) or wording.NONE,
    )
    return DriftRow(rank=rank, model=name, candidate=candidate, cells=cells, reason="")


def _sentences(drifts: list[Drift]) -> Iterator[str]:
    """Yield sentences on the model that drifted most, on what the bound leaves out, and on texts without an answer."""
    first = next((drift for drift in drifts if drift.rank == 1 and drift.kl is not None and drift.kl.value > 0), None)
    if first is not None and first.kl is not None and first.agreement is not None:
        yield (
            f"{wording.one_line(first.model, LONGEST)} drifted most on {text_of(first)}: "
            f"{'' if first.exact else 'at least '}{_nats(first.kl.value)} nats a token, "
            f"and another likeliest token than the base's at {wording.percent(1 - first.agreement.value)} of them"
        )
    rest = max((drift.rest for drift in drifts if drift.rest is not None and not drift.exact), default=None)
    if rest is not None:
        yield (
            f"KL is a lower bound: the {drifts[0].top_k} likeliest tokens of the base are looked at one by one, "
            f"the rest ({wording.percent(rest)} of the base's probability, taken as one token) together"
        )
    for drift in drifts:
        if drift.failed and drift.kl is not None:
            name, texts = wording.one_line(drift.model, LONGEST), wording.counted(drift.failed, "text")
            yield f"{name}: {texts} got no answer and {'is' if drift.failed == 1 else 'are'} left out"


def _nats(value: float) -> str:
    """Return a divergence as text; "0" only for exactly 0."""
    if value == 0:
        return "0"
    return f"{value:.1g}" if value < SMALLEST else wording.plain(value, PLACES)


def _percents(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return wording.NONE
    return f"[{wording.percent(estimate.low)}, {wording.percent(estimate.high)}]"
