"""Judge rows whose units were asked in rounds, with p-values and intervals that hold at any stopping time.

A gate unit (a task or group that the gate judges) stops once its verdict is certain. The statistics are those of
stats/early_stopping.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from evalharness.analysis.candidate_data import CandidateData
from evalharness.analysis.rows import ComparisonDraft, RoundsAsked, draft
from evalharness.analysis.suite import suite_row, without_target
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Certificate, Flag, Level, StoppingState
from evalharness.stats.assess import Finding
from evalharness.stats.early_stopping import (
    LOOKS,
    ROUNDS,
    EvidencePath,
    adjusted_p,
    alpha_by_look,
    anytime_interval,
    anytime_p,
    combined_p,
    evidence_path,
    verdict_on_set,
)
from evalharness.stats.enums import Verdict
from evalharness.stats.multiplicity import holm
from evalharness.stats.pairs import Interval

GLANCE = 1  # swap: no verdict before the last round looks at p_difference
STOPPED, UNTESTED = Flag.STOPPED_EARLY, Flag.SUITE_NOT_TESTED


class SequentialRows(NamedTuple):
    """The rows of one candidate that was asked in rounds.

    `adjusted`: p_forgotten of its gate units without the suite, by the row's index. `stopping`: how far each row was
    asked, by the row's index.
    """

    rows: list[ComparisonDraft]
    adjusted: dict[int, float]
    stopping: dict[int, StoppingState]


def sequential_rows(rows: Sequence[ComparisonDraft], plan: ComparePlan) -> SequentialRows:
    """Give gate units p-values and intervals that share alpha between the rounds and the whole sample. Other rows that
    were stopped early keep their values only: the stopping depended on the answers, so that no p-value or interval of a
    fixed sample holds.
    """
    units = [i for i, row in enumerate(rows) if row.is_gate_unit]
    paths = {i: _path(rows[i]) for i in units}
    early = dict(zip(units, adjusted_p(list(paths.values())), strict=True))
    late = dict(
        zip(units, holm([1.0 if _stopped(rows[i]) else rows[i].finding.p_forgotten or 0.0 for i in units]), strict=True)
    )
    judged = [_points(row) if _stopped(row) and row.level != Level.SUITE else row for row in rows]
    for i in units:
        judged[i] = replace(judged[i], finding=_judged(rows[i], paths[i], plan.alpha))
    stopping = {i: _stopping(row, row.watch) for i, row in enumerate(rows) if row.watch is not None}
    stopping |= {
        i: _with_early(rows[i], stopping[i], (early[i], anytime_p(paths[i])[1]), plan.alpha)
        for i in stopping.keys() & paths.keys()
    }
    return SequentialRows(judged, {i: combined_p(early[i], late[i]) for i in units}, stopping)


def _path(row: ComparisonDraft) -> EvidencePath | None:
    return None if row.watch is None or row.watch.unit is None else evidence_path(row.watch.unit, row.watch.rounds)


def _stopped(row: ComparisonDraft) -> bool:
    return row.watch is not None and row.watch.stopped


def _points(row: ComparisonDraft) -> ComparisonDraft:
    """Return the row with its values only: without p-values and intervals that need a fixed sample."""
    finding = row.finding
    finding = replace(
        finding,
        base=Interval(finding.base.value),
        candidate=Interval(finding.candidate.value),
        difference=Interval(finding.difference.value),
        p_forgotten=None,
        p_retained=None,
        p_difference=None,
    )
    flips = None if row.flips is None else replace(row.flips, forgotten=None, learned=None)
    retention = None if row.retention is None else Interval(row.retention.value)
    return replace(
        row,
        finding=finding,
        flips=flips,
        retention=retention,
        judged=row.judged and row.unit,
        part=False,
        flags=(STOPPED, *row.flags),
    )


def _judged(row: ComparisonDraft, of: EvidencePath | None, alpha: float) -> Finding:
    """Return a gate unit's finding with p-values and an interval that hold at any stopping time."""
    whole, stopped = row.finding, _stopped(row)
    late = (1.0, 1.0) if stopped else (whole.p_forgotten or 0.0, whole.p_retained or 0.0)
    p_forgotten, p_retained = (combined_p(early, final) for early, final in zip(anytime_p(of), late, strict=True))
    finding = _points(row).finding if stopped else whole
    low, high = (None, None) if stopped else whole.difference[1:]
    if row.watch is not None and row.watch.unit is not None:
        ends = anytime_interval(row.watch.unit, alpha)
        low, high = (
            end if there is None else pick(there, end)
            for there, end, pick in ((low, ends[0], max), (high, ends[1], min))
        )
        if low > high:  # the two contradict each other: use the whole sample's
            low, high = whole.difference[1:]
    difference = Interval(whole.difference.value, low, high)
    return replace(finding, difference=difference, p_forgotten=p_forgotten, p_retained=p_retained)


def _stopping(row: ComparisonDraft, watch: RoundsAsked) -> StoppingState:
    return StoppingState(
        asked=row.finding.units, planned=watch.planned, rounds=watch.rounds, of=ROUNDS, stopped=watch.stopped
    )


def _with_early(row: ComparisonDraft, of: StoppingState, early: tuple[float, float], alpha: float) -> StoppingState:
    """Add the p-values and the certificate that come from a gate unit's e-processes. `early`: adjusted p_forgotten, and
    p_retained.
    """
    if (
        row.watch is None or row.watch.unit is None or of.planned < of.asked
    ):  # older results do not say how many were planned
        return of
    verdict, forgotten, retained = verdict_on_set(row.watch.unit, of.planned, alpha)
    return replace(
        of,
        p_forgotten=early[0],
        p_retained=early[1],
        certificate=Certificate(verdict=verdict, population=of.planned, p_forgotten=forgotten, p_retained=retained),
    )


def _unit_rows(data: CandidateData) -> list[ComparisonDraft]:
    return [draft(data, subject) for subject in data.gate_units]


def verdicts_so_far(data: CandidateData) -> dict[str, Verdict]:
    """Return the verdict of every gate unit after the rounds so far, as its e-process gives it; "inconclusive" if it
    gives none.
    """
    rows = _unit_rows(replace(data, swaps=GLANCE))
    paths = [_path(row) for row in rows]
    verdicts: dict[str, Verdict] = {}
    for row, of, p_forgotten in zip(rows, paths, adjusted_p(paths), strict=True):
        verdicts[row.task] = row.finding.verdict(
            combined_p(p_forgotten, 1.0), combined_p(anytime_p(of)[1], 1.0), data.plan.alpha
        )
    return verdicts


# ---- the suite -------------------------------------------------------------------------------------------------------


def suite_at_looks(data: CandidateData, rows: Sequence[ComparisonDraft]) -> ComparisonDraft:
    """Return the suite's row at the first look that decided it, else at the last look that all gate units reached.

    A look is a round after which the suite is tested. `rows`: the current rows of all gate units. p-values are the
    least over the looks, each divided by the share of alpha that its look may spend. If a unit was stopped before the
    last look and no look decided, the suite has values but no verdict, and is flagged.
    """
    units = [row for row in rows if row.unit]
    last = min((row.watch.rounds for row in units if row.watch is not None), default=ROUNDS)
    best, suite = (1.0, 1.0), None
    for look in LOOKS:
        if look > last:
            counting = without_target(data, units)
            return _untested(
                suite or suite_row(data, counting, units),
                RoundsAsked(rounds=last, planned=_planned(counting), unit=None),
            )
        suite = suite_at(data, look, units if look == ROUNDS else None)
        best = (min(best[0], suite.finding.p_forgotten or 0.0), min(best[1], suite.finding.p_retained or 0.0))
        suite = replace(suite, finding=replace(suite.finding, p_forgotten=best[0], p_retained=best[1]))
        if suite.finding.verdict(*best, data.plan.alpha) != Verdict.INCONCLUSIVE:
            break
    return suite or suite_row(data, without_target(data, units), units)


def suite_at(data: CandidateData, look: int, units: Sequence[ComparisonDraft] | None = None) -> ComparisonDraft:
    """Return the suite's row after round `look`, with p-values divided by the share of alpha that this look may spend.
    `units`: the gate units' rows at that round; None: compute them.
    """
    then = data.after(look)
    units = _unit_rows(then) if units is None else units
    share = alpha_by_look(data.plan.alpha)[look] / data.plan.alpha
    counting = without_target(then, units)
    row = suite_row(then, counting, units, 1 - 2 * data.plan.alpha * share)
    p_forgotten, p_retained = (min(1.0, (p or 0.0) / share) for p in (row.finding.p_forgotten, row.finding.p_retained))
    watch = RoundsAsked(rounds=look, planned=_planned(counting), unit=None)
    return replace(row, finding=replace(row.finding, p_forgotten=p_forgotten, p_retained=p_retained), watch=watch)


def _planned(rows: Sequence[ComparisonDraft]) -> int:
    """Return the number of planned units in the rows that the suite averages."""
    return sum(row.watch.planned for row in rows if row.watch)


def _untested(row: ComparisonDraft, watch: RoundsAsked) -> ComparisonDraft:
    """Return the suite's row if a gate unit was stopped before the last look: its values, and the p-values of the looks
    so far.
    """
    whole, looked = row.finding, row.watch is not None
    candidate, difference = Interval(whole.candidate.value), Interval(whole.difference.value)
    p_forgotten, p_retained = (whole.p_forgotten, whole.p_retained) if looked else (1.0, 1.0)
    finding = replace(
        whole,
        candidate=candidate,
        difference=difference,
        p_forgotten=p_forgotten,
        p_retained=p_retained,
        p_difference=None,
    )
    general = None if row.general is None else replace(row.general, low=None, high=None)
    return replace(row, finding=finding, general=general, flags=(UNTESTED, *row.flags), watch=watch)
