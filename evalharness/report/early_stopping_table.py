"""Comparisons of a run that may stop early to how far every candidate was asked, and what is certain of the whole
set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import candidates_of, in_order
from evalharness.stats.enums import Verdict

OF_THE_SET = {
    Verdict.FORGOTTEN: "▼ fell by more than the margin",
    Verdict.RETAINED: "● did not fall by the margin",
    Verdict.INCONCLUSIVE: "? not certain yet",
}
SHARED = "half of α is for verdicts before the last round, half for what was asked to the end"


@dataclass(frozen=True, slots=True)
class AskedRow:
    """One gate unit of one candidate. `early`: the p-values of the e-processes alone; `whole`: what the whole set would
    show.
    """

    candidate: str
    task: str
    level: str
    asked: str
    rounds: str
    verdict: str
    stopped: bool
    early: str
    whole: str


def asked_rows(results: Results) -> list[AskedRow]:
    """A row for every gate unit and suite that was asked in rounds, by candidate; none where all units were asked at
    once.
    """
    order = candidates_of(results)
    rows = [
        c
        for _, comparisons in in_order(results)
        for c in comparisons
        if c.unit and c.primary and c.stopping is not None
    ]
    return [
        _row(c) for c in sorted(rows, key=lambda c: order.index(c.candidate) if c.candidate in order else len(order))
    ]


def _row(c: Comparison) -> AskedRow:
    of = c.stopping
    assert of is not None
    early = (
        "–"
        if of.p_forgotten is None or of.p_retained is None
        else f"{wording.p_value(of.p_forgotten)}, {wording.p_value(of.p_retained)}"
    )
    glyph = wording.VERDICTS[c.verdict][0] if c.verdict else ""
    asked = f"{of.asked:,} of {of.planned:,}"
    whole = "" if of.certificate is None else OF_THE_SET[of.certificate.verdict]
    return AskedRow(
        c.candidate,
        c.task,
        c.level,
        asked,
        f"{of.rounds} of {of.of}",
        f"{glyph} {c.verdict or ''}".strip(),
        of.stopped,
        early,
        whole,
    )


def asked_lines(results: Results) -> list[str]:
    """A sentence for every candidate that was asked in rounds: how many of its gate units were stopped, and what was
    saved.
    """
    said = []
    for name in candidates_of(results):
        units = [
            c
            for c in results.comparisons
            if c.candidate == name and c.unit and c.primary and c.level != Level.SUITE and c.stopping is not None
        ]
        if units:
            said.append(f"{wording.one_line(name)}: {_saved(units)}")
    return said


def _saved(units: Sequence[Comparison]) -> str:
    stopped = sum(c.stopping.stopped for c in units if c.stopping)
    asked, planned = (sum(getattr(c.stopping, of) for c in units) for of in ("asked", "planned"))
    share = f" ({wording.percent(asked / planned, 0)})" if planned else ""
    return f"{stopped} of {wording.counted(len(units), 'gate unit')} stopped early; {asked:,} of {planned:,} units were asked{share}"
