"""Decide whether the candidates of a run may ship.

A gate unit is a task or group that the gate judges; the suite is the mean over all of them. The decision's exit codes:
0 passes · 3 something was forgotten · 4 undecided, and the policy does not let that pass · 5 incomplete, or nothing was
measured
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import IntEnum

from evalharness.analysis import gate_text
from evalharness.analysis.gate_findings import CandidateRows, Finding, UnitOutcome
from evalharness.analysis.unit_rules import expired_waivers
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.comparison import Comparison
from evalharness.records.models import REFERENCES
from evalharness.records.policy import DEFAULT, OPTION, Policy
from evalharness.records.results import Results
from evalharness.stats.enums import Verdict


class GateOutcome(IntEnum):
    """The gate's outcome for a candidate or a run; its value is the exit code."""

    PASSED = 0
    FORGOTTEN = 3
    UNDECIDED = 4
    INCOMPLETE = 5


WORST_FIRST = (GateOutcome.INCOMPLETE, GateOutcome.FORGOTTEN, GateOutcome.UNDECIDED, GateOutcome.PASSED)
UNDECIDED = (UnitOutcome.INCONCLUSIVE, UnitOutcome.SUSPECT, UnitOutcome.ABOVE_CEILING)


@dataclass(frozen=True, slots=True)
class UnitDecision:
    """The gate's outcome for one gate unit or the suite.

    `row`: its comparison. `reason`: one line on why it keeps the candidate from passing, or would if the policy did not
    excuse it; "" if nothing is against it.
    """

    row: Comparison
    outcome: UnitOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CandidateDecision:
    """The gate's decision on one candidate.

    `reasons`: why it does not pass, one line each; empty if it passes. `remarks`: what a pass does not exclude, and
    what the policy lets pass. `units`: the suite, if there is one, and every gate unit. `against`: whose scores it was
    compared with; "": its base's in the run.
    """

    name: str
    exit_code: GateOutcome
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    units: tuple[UnitDecision, ...] = ()
    against: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Decision:
    """The gate's decision on a run.

    `exit_code`: that of the worst candidate. `reasons`: what failed, one line each; empty if everything passed.
    `remarks`: further lines to read. `candidates`: the decision on each.
    """

    exit_code: GateOutcome
    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    candidates: tuple[CandidateDecision, ...] = ()

    def __repr__(self) -> str:
        """Return the outcome of every candidate, in short."""
        each = ", ".join(f"{candidate.name} {candidate.exit_code.name.lower()}" for candidate in self.candidates)
        return f"Decision({int(self.exit_code)} {self.exit_code.name.lower()}: {each or 'no candidates'})"


def judge(results: Results, policy: Policy, only: Collection[str] = (), today: date | None = None) -> Decision:
    """Decide on every candidate, and on the run: its outcome is that of the worst candidate.

    `only`: decide on these candidates; None: on all. `today`: the day for which waivers count; None: today, in UTC. A
    run with failures is incomplete regardless of its verdicts; its reasons name what was forgotten, too. Reference
    models and their failures decide nothing. Raises UsageError for an unknown candidate, for a policy on something that
    is no gate unit, and for a ceiling that is all that can be lost.
    """
    results, today = _without_references(results), today or datetime.now(UTC).date()
    for name in sorted(set(only) - set(results.candidates)):
        raise UsageError("--candidate", f"no candidate {name!r} in the run", did_you_mean(name, results.candidates))
    each = tuple(
        _of_candidate(CandidateRows.of(results, name, policy, today))
        for name in results.candidates
        if not only or name in only
    )
    outcomes = {decision.exit_code for decision in each}
    reasons = [line for decision in each for line in decision.reasons]
    if not results.comparisons:
        outcomes.add(GateOutcome.INCOMPLETE)
        reasons.append("incomplete: no candidate was compared with a base")
    remarks = [line for decision in each for line in decision.remarks]
    if results.comparisons:
        remarks.append(gate_text.candidates_tried(results.comparisons, results.candidates))
    remarks += [gate_text.one_line(gate_text.waiver_expired(waiver)) for waiver in expired_waivers(policy, today)]
    return Decision(
        exit_code=next(outcome for outcome in WORST_FIRST if outcome in outcomes),
        reasons=tuple(dict.fromkeys(reasons)),
        remarks=tuple(remarks),
        candidates=each,
    )


def merge_decisions(decisions: Sequence[tuple[str, Decision]]) -> Decision:
    """Merge several decisions on the same candidates, each against other scores, with their labels."""
    candidates = tuple(replace(each, against=of) for of, decision in decisions for each in decision.candidates)
    every = [decision for _, decision in decisions]
    outcomes = {decision.exit_code for decision in every}
    return Decision(
        exit_code=next(outcome for outcome in WORST_FIRST if outcome in outcomes),
        reasons=tuple(dict.fromkeys(line for decision in every for line in decision.reasons)),
        remarks=tuple(dict.fromkeys(line for decision in every for line in decision.remarks)),
        candidates=candidates,
    )


def judge_alone(results: Results, name: str, policy: Policy) -> CandidateDecision:
    """Decide on the candidate `name` as if it were the only one: failures of the base count, those of other candidates
    do not.
    """
    today = datetime.now(UTC).date()
    return _of_candidate(CandidateRows.of(_without_references(results), name, policy, today))


def worst(rows: Iterable[Comparison]) -> Comparison:
    """Return the measured row that lost most, in its margins. Raises ValueError if no row was measured."""
    measured = [(row.difference.value / (row.margin or 1.0), row) for row in rows if row.difference is not None]
    return min(measured, key=lambda loss_and_row: loss_and_row[0])[1]


def _of_candidate(of: CandidateRows) -> CandidateDecision:
    judged = sorted((row for row in of.rows if row.unit), key=lambda row: row.is_gate_unit)  # the suite first
    counting, excused = list[tuple[Comparison, Finding]](), list[str]()
    for row in judged:
        excuse = of.excuse(row)
        for finding, line in of.findings(row):
            if excuse is None:
                counting.append((row, (finding, line)))
            elif excuse[0] != UnitOutcome.OFF and finding != UnitOutcome.NOT_MEASURED:
                excused.append(f"{excuse[1]}: {line}")
    forgotten = [line for suite in (False, True) for row, (each, line) in counting if _is(row, each, suite)]
    over_limits = [line for _, (each, line) in counting if each == UnitOutcome.OVER_LIMIT]
    undecided = [line for which in UNDECIDED for _, (each, line) in counting if each == which]
    incomplete, outcome, reasons, remarks = of.incomplete(), GateOutcome.PASSED, list[str](), list[str]()
    if incomplete:
        outcome, reasons = GateOutcome.INCOMPLETE, [*forgotten, *incomplete]
    elif forgotten:
        outcome, reasons = GateOutcome.FORGOTTEN, [*forgotten, *over_limits, *undecided]
    elif over_limits or (undecided and not of.policy.passes_undecided):
        outcome, reasons = GateOutcome.UNDECIDED, [*undecided, *over_limits]
    else:
        source = of.policy.source("on_inconclusive")
        how = "--on-inconclusive pass" if source in (DEFAULT, OPTION) else f"on_inconclusive is pass in {source}"
        remarks = [f"{line} (passes all the same: {how})" for line in undecided]
        remarks.append(gate_text.not_excluded(of.name, of.units))
    remarks += [*excused, *gate_text.within_limit(of.units, of.tolerated)]
    remarks += gate_text.not_alike(of.name, of.units)
    reasons, remarks = ([*map(gate_text.one_line, each)] for each in (reasons, remarks))
    of_units = tuple(_of_unit(of, row) for row in judged)
    return CandidateDecision(of.name, outcome, tuple(reasons), tuple(remarks), of_units)


def _is(row: Comparison, finding: UnitOutcome, suite: bool) -> bool:
    """Return whether this finding says that something was forgotten: the suite, if `suite` is true, else
    another unit.
    """
    return finding == UnitOutcome.FORGOTTEN and row.is_gate_unit != suite


def _of_unit(of: CandidateRows, row: Comparison) -> UnitDecision:
    """Return the outcome of one row, with its reason: its worst finding, after the policy's excuses."""
    excuse, findings = of.excuse(row), of.findings(row)
    outcome = findings[0][0] if findings else UnitOutcome.RETAINED
    reason = "; ".join(line for each, line in findings if each == outcome)
    if not reason and row.verdict != Verdict.RETAINED:
        outcome = UnitOutcome.INCONCLUSIVE
    if excuse is not None and outcome != UnitOutcome.NOT_MEASURED:
        if excuse[0] == UnitOutcome.OFF:
            outcome, reason = UnitOutcome.OFF, ""
        elif reason:
            outcome, reason = excuse[0], f"{excuse[1]}: {reason}"
    return UnitDecision(row, outcome, gate_text.one_line(reason))


def _without_references(results: Results) -> Results:
    beside = {row.name for row in results.models if row.kind in REFERENCES}
    return replace(
        results,
        models=tuple(row for row in results.models if row.name not in beside),
        comparisons=tuple(row for row in results.comparisons if row.candidate not in beside),
        errors=tuple(error for error in results.errors if error.model not in beside),
    )
