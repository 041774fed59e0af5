"""Tabulate each candidate over all tasks together: the suite in margins, the median task, general ability, averages."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.stats.enums import Verdict

LONGEST = 60  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherRow:
    """One candidate over all tasks and groups that the gate judges, as texts. `difference`, `interval`: of the suite,
    in margins. `beside`: further descriptions, one clause each.
    """

    name: str
    verdict: Verdict | None
    difference: str
    interval: str
    beside: tuple[str, ...]


def together(results: Results) -> list[TogetherRow]:
    """Return one row for each candidate, in the order of the models."""
    rows: dict[str, list[Comparison]] = {name: [] for name in results.candidates}
    for c in results.comparisons:
        if c.level == Level.SUITE and c.candidate in rows:
            rows[c.candidate].append(c)
    return [_row(name, own) for name, own in rows.items() if own]


def _row(name: str, own: list[Comparison]) -> TogetherRow:
    suite = next((c for c in own if c.primary), None)
    described = [_average(c) for c in own if not c.primary]
    if suite is None or suite.difference is None:
        return TogetherRow(name=name, verdict=None, difference="not measured", interval="", beside=tuple(described))
    change = wording.change_of(suite)
    return TogetherRow(
        name=name,
        verdict=suite.verdict,
        difference=change.difference,
        interval=change.interval,
        beside=(*wording.beside_mean(suite), *_general(suite), *described),
    )


def _general(suite: Comparison) -> list[str]:
    """Return the mean difference in points, beside the suite's in margins."""
    if suite.general is None:
        return []
    if reason := wording.nothing_shown(suite.general):
        return [f"general ability: not shown, {reason}"]
    difference = wording.with_interval(suite.general)
    return [f"general ability: {difference}, the mean over {wording.general_of(suite.general, suite)}"]


def _average(c: Comparison) -> str:
    change = wording.change_of(c)
    return f"{wording.one_line(c.metric, LONGEST)} {change.candidate} (base {change.base}, {change.difference})"
