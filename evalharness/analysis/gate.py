"""Decide whether the candidates of a run may ship.

0 passes · 3 something was forgotten · 4 undecided, and the policy does not let that pass · 5 incomplete, or nothing was
measured
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from evalharness.analysis import gate_text
from evalharness.analysis.margins import check_loss
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.comparison import Comparison, Flag, Level
from evalharness.records.measurements import ExampleError
from evalharness.records.models import REFERENCES
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.records.tasks import Variant
from evalharness.stats.enums import Verdict


class GateOutcome(IntEnum):
    """What the gate ends with; the value is the exit code."""

    PASSED = 0
    FORGOTTEN = 3
    UNDECIDED = 4
    INCOMPLETE = 5


WORST_FIRST = (GateOutcome.INCOMPLETE, GateOutcome.FORGOTTEN, GateOutcome.UNDECIDED, GateOutcome.PASSED)


class UnitOutcome(StrEnum):
    """What the gate makes of one gate unit, or of the suite over them."""

    RETAINED = "retained"
    INCONCLUSIVE = "inconclusive"  # of a unit: stops nothing by itself
    ABOVE_CEILING = "above its ceiling"
    SUSPECT = "suspect"
    FORGOTTEN = "forgotten"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class UnitDecision:
    """What the gate makes of the gate unit, or of the suite, that `row` is about. `reason`: why the candidate does not
    pass for it, in one line; "" where it does.
    """

    row: Comparison
    outcome: UnitOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CandidateDecision:
    """What the gate decides of one candidate. `reasons`: why it does not pass, one line each; `remarks`: what a pass
    does not exclude; `units`: the suite, where there is one, and every gate unit.
    """

    name: str
    exit_code: GateOutcome
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    units: tuple[UnitDecision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`reasons`: what failed of any candidate or of the run, one line each; empty where everything passed. `remarks`:
    what is to be known beside them.
    """

    exit_code: GateOutcome
    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    candidates: tuple[CandidateDecision, ...] = ()


def judge(results: Results, policy: Policy, only: Collection[str] = ()) -> Decision:
    """Decide of every candidate (`only`: of these), and of all of them: as of the one of which it is worst.

    A run in which something failed is incomplete whatever its verdicts are; what was forgotten in it is named all the
    same. References decide nothing, nor does what failed of them. Raises UsageError for a candidate that is not there,
    for a ceiling of what is no gate unit, and for one that is all that can be lost.
    """
    results = _without_references(results)
    for name in sorted(set(only) - set(results.candidates)):
        raise UsageError("--candidate", f"no candidate {name!r} in the run", did_you_mean(name, results.candidates))
    units = [row for row in results.comparisons if row.is_gate_unit]
    check_ceilings(policy, {name: row.span for row in units for name in names_known(row.task, row.variant)})
    each = tuple(_of_candidate(results, name, policy) for name in results.candidates if not only or name in only)
    outcomes = {decision.exit_code for decision in each}
    reasons = [line for decision in each for line in decision.reasons]
    if not results.comparisons:
        outcomes.add(GateOutcome.INCOMPLETE)
        reasons.append("incomplete: no candidate was compared with a base")
    remarks = [line for decision in each for line in decision.remarks]
    if results.comparisons:
        remarks.append(gate_text.tried(results.comparisons, results.candidates))
    return Decision(
        exit_code=next(outcome for outcome in WORST_FIRST if outcome in outcomes),
        reasons=tuple(dict.fromkeys(reasons)),
        remarks=tuple(remarks),
        candidates=each,
    )


def judge_alone(results: Results, name: str, policy: Policy) -> CandidateDecision:
    """Decide of candidate `name` as if it were the only one; what failed of the base counts, what failed of others does
    not.
    """
    return _of_candidate(_without_references(results), name, policy)


def check_ceilings(policy: Policy, spans: Mapping[str, float | None]) -> None:
    """Check that ceilings are of gate units and less than all that can be lost of them. `spans`: the width of the
    metric's range by any name of a gate unit. Raises UsageError.
    """
    for name in sorted(policy.ceilings.keys() - spans):
        raise UsageError("--ceiling", f"no gate unit {name!r} in what is compared", did_you_mean(name, spans))
    for name, span in spans.items():
        ceiling = _ceiling_of((name,), span, policy)
        if ceiling is not None:
            check_loss("ceiling", name, ceiling, span)


def names_known(name: str, variant: Variant | None) -> tuple[str, ...]:
    """The name of a task or group, and the one that users know where it is asked in another wording."""
    return (name,) if variant is None or variant.beside else (name, variant.of)


def worst(rows: Iterable[Comparison]) -> Comparison:
    """The row that lost most, in units of its margin, of those measured. Raises ValueError where there is none."""
    measured = [(row.difference.value / (row.margin or 1.0), row) for row in rows if row.difference is not None]
    return min(measured, key=lambda loss_and_row: loss_and_row[0])[1]


def _of_candidate(results: Results, name: str, policy: Policy) -> CandidateDecision:
    rows = [row for row in results.comparisons if row.candidate == name]
    units = [row for row in rows if row.is_gate_unit]
    forgotten = [gate_text.forgotten(row) for row in rows if row.unit and row.verdict == Verdict.FORGOTTEN]
    incomplete, undecided = _incomplete(results, name, rows), _undecided(rows, policy)
    outcome, reasons, remarks = GateOutcome.PASSED, list[str](), list[str]()
    if incomplete:
        outcome, reasons = GateOutcome.INCOMPLETE, [*forgotten, *incomplete]
    elif forgotten:
        outcome, reasons = GateOutcome.FORGOTTEN, [*forgotten, *undecided]
    elif undecided and not policy.passes_undecided:
        outcome, reasons = GateOutcome.UNDECIDED, undecided
    else:
        let_pass = [f"{line} (passes all the same: --on-inconclusive pass)" for line in undecided]
        remarks = [*let_pass, gate_text.not_excluded(name, units)]
    remarks += [*gate_text.target_untold(_suite_of(rows), units), *gate_text.not_alike(name, units)]
    reasons, remarks = ([*map(gate_text.one_line, each)] for each in (reasons, remarks))
    judged = sorted((row for row in rows if row.unit), key=lambda row: row.is_gate_unit)  # the suite first
    of_units = tuple(_of_unit(row, units, results, policy) for row in judged)
    return CandidateDecision(name, outcome, tuple(reasons), tuple(remarks), of_units)


def _of_unit(row: Comparison, units: Sequence[Comparison], results: Results, policy: Policy) -> UnitDecision:
    outcome, reason = UnitOutcome(row.verdict or UnitOutcome.INCONCLUSIVE), ""
    if not row.n:
        outcome, reason = UnitOutcome.NOT_MEASURED, gate_text.not_measured(row, results)
    elif outcome == UnitOutcome.FORGOTTEN:
        reason = gate_text.forgotten(row)
    elif row.level == Level.SUITE:
        reason = "" if outcome == UnitOutcome.RETAINED else gate_text.undecided(row, units)
    elif Flag.SUSPECT in row.flags:
        outcome, reason = UnitOutcome.SUSPECT, gate_text.suspect(row)
    elif missed := _ceiling_missed(row, policy):
        outcome, reason = UnitOutcome.ABOVE_CEILING, missed
    return UnitDecision(row, outcome, gate_text.one_line(reason))


def _undecided(rows: Sequence[Comparison], policy: Policy) -> list[str]:
    """Why a candidate does not pass whose rows these are, beside what it forgot."""
    units, suite = [row for row in rows if row.is_gate_unit], _suite_of(rows)
    decided = suite is None or suite.verdict in (Verdict.RETAINED, Verdict.FORGOTTEN)
    reasons = [] if suite is None or decided else [gate_text.undecided(suite, units)]
    open_units = [row for row in units if row.verdict != Verdict.FORGOTTEN]
    reasons += [gate_text.suspect(row) for row in open_units if Flag.SUSPECT in row.flags]
    return [*reasons, *filter(None, (_ceiling_missed(row, policy) for row in open_units))]


def _ceiling_missed(row: Comparison, policy: Policy) -> str:
    """Why a gate unit does not pass under a ceiling: a larger loss is not excluded, or the ceiling of all does not hold
    for it; "" where it passes.
    """
    ceiling = _ceiling_of(names_known(row.task, row.variant), row.span, policy)
    low = gate_text.loss_bound(row)
    if ceiling is not None and (low is None or low < -ceiling):
        return gate_text.above_ceiling(row, ceiling)
    return gate_text.no_ceiling(row) if ceiling is None and policy.ceiling is not None else ""


def _ceiling_of(names: Sequence[str], span: float | None, policy: Policy) -> float | None:
    """The largest loss that may remain possible of a gate unit with these names; None where none is stated for it."""
    named = [policy.ceilings[name] for name in names if name in policy.ceilings]
    return named[0] if named else policy.ceiling if span == 1 else None


def _without_references(results: Results) -> Results:
    beside = {row.name for row in results.models if row.kind in REFERENCES}
    return replace(
        results,
        models=tuple(row for row in results.models if row.name not in beside),
        comparisons=tuple(row for row in results.comparisons if row.candidate not in beside),
        errors=tuple(error for error in results.errors if error.model not in beside),
    )


def _suite_of(rows: Sequence[Comparison]) -> Comparison | None:
    return next((row for row in rows if row.unit and row.level == Level.SUITE), None)


def _incomplete(results: Results, name: str, rows: Sequence[Comparison]) -> list[str]:
    """Why nothing can be concluded: there is no verdict, nothing was measured, examples failed, or scores were left
    out.
    """
    reasons = [] if _suite_of(rows) else [f"incomplete: {name} has no verdict over the suite"]
    reasons += [gate_text.not_measured(row, results) for row in rows if row.unit and not row.n]
    others, by_task = set(results.candidates) - {name}, dict[tuple[str, str], list[ExampleError]]()
    for error in results.errors:
        if error.model not in others:
            by_task.setdefault((error.task, error.model), []).append(error)
    reasons += [gate_text.failed(errors) for errors in by_task.values()]
    named = {task for task, _ in by_task}
    flagged = [row for row in rows if Flag.INCOMPLETE in row.flags]
    by_name = [r for r in flagged if r.level == Level.TASK and r.primary and r.task not in named]
    reasons += [f"incomplete: {name} on {row.task}: not all examples were answered" for row in by_name]
    return reasons or ["incomplete: not all examples were answered"] * bool(flagged)
