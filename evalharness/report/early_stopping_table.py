"""Tabulate how far a run that may stop early asked each gate unit, and what is certain of the whole data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level, StoppingState
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import in_order
from evalharness.stats.enums import Verdict

OF_THE_SET = {
    Verdict.FORGOTTEN: "▼ fell by more than the margin",
    Verdict.RETAINED: "● did not fall by the margin",
    Verdict.INCONCLUSIVE: "? not certain yet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRow:
    """One gate unit (a task or group that the gate judges) of one candidate, as texts.

    `units`: how many of its units of data were asked, "45 of 300". `rounds`: likewise. `stopped`: True: before the last
    round. `early`: the p-values of the e-processes alone, the tests that may be read after every round. `whole`: the
    verdict on the whole data set; "": there is none.
    """

    candidate: str
    task: str
    level: str
    units: str
    rounds: str
    verdict: str
    stopped: bool
    early: str
    whole: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """The page's section: a sentence for every candidate, and a row for every gate unit and suite."""

    sentences: tuple[str, ...]
    rows: tuple[StoppingRow, ...]


def early_stopping(results: Results) -> EarlyStopping | None:
    """Return the section on early stopping; None if all units were measured at once."""
    order = {name: i for i, name in enumerate(results.candidates)}
    in_rounds = [
        (c, c.stopping)
        for _, comparisons in in_order(results)
        for c in comparisons
        if c.unit and c.primary and c.stopping is not None
    ]
    rows = [_row(c, stopping) for c, stopping in sorted(in_rounds, key=lambda pair: order[pair[0].candidate])]
    return EarlyStopping(sentences=tuple(sentences(results)), rows=tuple(rows)) if rows else None


def _row(c: Comparison, stopping: StoppingState) -> StoppingRow:
    early = [wording.p_value(p) for p in (stopping.p_forgotten, stopping.p_retained) if p is not None]
    certain = stopping.certificate
    return StoppingRow(
        candidate=c.candidate,
        task=c.task,
        level=c.level,
        units=f"{stopping.asked:,} of {stopping.planned:,}",
        rounds=f"{stopping.rounds} of {stopping.of}",
        verdict=f"{wording.VERDICTS[c.verdict][0]} {c.verdict}" if c.verdict else "",
        stopped=stopping.stopped,
        early=", ".join(early) if len(early) == 2 else wording.NONE,
        whole="" if certain is None else OF_THE_SET[certain.verdict],
    )


def sentences(results: Results) -> Iterator[str]:
    """Yield a sentence for every candidate that was asked in rounds: how many gate units were stopped, and what that
    saved.
    """
    for name in results.candidates:
        own = [c for c in results.comparisons if c.candidate == name and c.unit and c.primary]
        if units := [c.stopping for c in own if c.level != Level.SUITE and c.stopping is not None]:
            yield f"{wording.one_line(name)}: {_saved(units)}"


def _saved(units: Sequence[StoppingState]) -> str:
    stopped, total = sum(unit.stopped for unit in units), wording.counted(len(units), "gate unit")
    count, planned = sum(unit.asked for unit in units), sum(unit.planned for unit in units)
    share = f" ({wording.percent(count / planned, 0)})" if planned else ""
    return f"{stopped} of {total} stopped early; {count:,} of {planned:,} units were asked{share}"
