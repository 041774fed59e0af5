"""Decide whether the candidates of a run may ship, and say why not, in one plain line a reason.

0 passes · 3 something was forgotten · 4 the suite is undecided and the policy does not let that pass · 5 incomplete,
nothing can be concluded
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from evalharness.records.comparison import Comparison, Flag, Level
from evalharness.records.measurements import ExampleError
from evalharness.records.models import REFERENCES
from evalharness.records.results import Results
from evalharness.stats.enums import Verdict

SHOWN_REASON = 200  # characters of a error's reason that are shown


class GateOutcome(IntEnum):
    """What the gate ends with; the value is the exit code."""

    PASSED = 0
    FORGOTTEN = 3
    UNDECIDED = 4
    INCOMPLETE = 5


class OnInconclusive(StrEnum):
    """What the gate makes of an undecided suite."""

    FAIL = "fail"
    PASS = "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a user lets pass."""

    on_inconclusive: OnInconclusive = OnInconclusive.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`reasons`: what failed, one line each; empty where everything passed."""

    exit_code: GateOutcome
    reasons: tuple[str, ...]


def judge(results: Results, policy: Policy) -> Decision:
    """Passes when no gate unit is forgotten and the suite of every candidate is retained.

    A run in which something failed is incomplete whatever its verdicts are; what was forgotten in it is named all the
    same. References decide nothing, nor does what failed of them.
    """
    results = _without_references(results)
    units = [row for row in results.comparisons if row.unit]
    incomplete = _incomplete(results, units)
    forgotten = [_forgotten(row) for row in units if row.verdict == Verdict.FORGOTTEN]
    undecided = [
        _undecided(row)
        for row in units
        if row.level == Level.SUITE and row.verdict not in (Verdict.RETAINED, Verdict.FORGOTTEN)
    ]
    if policy.on_inconclusive == OnInconclusive.PASS:
        undecided = []
    reasons = tuple(_line(text) for text in (*forgotten, *undecided, *incomplete))
    if incomplete:
        return Decision(exit_code=GateOutcome.INCOMPLETE, reasons=reasons)
    if forgotten:
        return Decision(exit_code=GateOutcome.FORGOTTEN, reasons=reasons)
    return Decision(exit_code=GateOutcome.UNDECIDED if undecided else GateOutcome.PASSED, reasons=reasons)


def judge_alone(results: Results, name: str, policy: Policy) -> Decision:
    """Judge candidate `name` as if it were the only one; what failed of the base counts, what failed of others does
    not.
    """
    base = next((row.base for row in results.models if row.name == name), None)
    others = set(results.candidates) - {name}
    alone = replace(
        results,
        models=tuple(row for row in results.models if row.name in (name, base) or not row.judged),
        comparisons=tuple(row for row in results.comparisons if row.candidate == name),
        errors=tuple(error for error in results.errors if error.model not in others),
    )
    return judge(alone, policy)


def worst(rows: Iterable[Comparison]) -> Comparison:
    """The row that lost most, in units of its margin, of those measured. Raises ValueError where there is none."""
    measured = [(row.difference.value / (row.margin or 1.0), row) for row in rows if row.difference is not None]
    return min(measured, key=lambda loss_and_row: loss_and_row[0])[1]


def _without_references(results: Results) -> Results:
    beside = {row.name for row in results.models if row.kind in REFERENCES}
    return replace(
        results,
        models=tuple(row for row in results.models if row.name not in beside),
        comparisons=tuple(row for row in results.comparisons if row.candidate not in beside),
        errors=tuple(error for error in results.errors if error.model not in beside),
    )


def _incomplete(results: Results, units: Iterable[Comparison]) -> list[str]:
    """Why nothing can be concluded: nothing was compared, examples failed, or scores were left out."""
    reasons = [] if results.comparisons else ["incomplete: no candidate was compared with a base"]
    with_suite = {row.candidate for row in units if row.level == Level.SUITE}
    candidates = dict.fromkeys(
        [row.candidate for row in results.comparisons] + [row.name for row in results.models if row.base is not None]
    )
    if results.comparisons:
        reasons += [
            f"incomplete: {name} has no verdict over the suite" for name in candidates if name not in with_suite
        ]
    by_task: dict[tuple[str, str], list[ExampleError]] = {}
    for error in results.errors:
        by_task.setdefault((error.task, error.model), []).append(error)
    for (task, model), errors in by_task.items():
        reasons.append(f"incomplete: {len(errors)} × {model} on {task}: {errors[0].reason[:SHOWN_REASON]}")
    named = {error.task for error in results.errors}
    flagged = [
        row
        for row in results.comparisons
        if Flag.INCOMPLETE in row.flags and row.level == Level.TASK and row.primary and row.task not in named
    ]
    reasons += [f"incomplete: {row.candidate} on {row.task}: not all examples were answered" for row in flagged]
    if not reasons and any(Flag.INCOMPLETE in row.flags for row in results.comparisons):
        reasons.append("incomplete: not all examples were answered")
    return reasons


def _forgotten(row: Comparison) -> str:
    p = row.p_forgotten if row.p_forgotten_adjusted is None else row.p_forgotten_adjusted
    changes = "" if row.lost is None else f", {row.lost} lost and {row.gained} gained of {row.n}"
    return f"forgotten: {row.candidate} on {row.task}: {_difference(row)}, p {_p(p)}{changes}"


def _undecided(row: Comparison) -> str:
    if Flag.SUITE_NOT_TESTED in row.flags:
        return f"undecided: {row.candidate} over {row.task}: not tested, because a gate unit was stopped first"
    needed = ""
    p = "" if row.p_retained is None else f", p_retained {_p(row.p_retained)}"
    return f"undecided: {row.candidate} over {row.task}: {_difference(row)}{p}{needed}"


def _difference(row: Comparison) -> str:
    """The difference with its interval and its margin, in the metric's unit."""
    if row.difference is None:
        return f"{row.metric} not measured"
    value, low, high = row.difference.value, row.difference.low, row.difference.high
    interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    margin = "" if row.margin is None else f", margin {row.margin:g}"
    return f"{row.metric} {value:+.3f}{interval}{margin}"


def _p(value: float | None) -> str:
    if value is None:
        return "unknown"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _line(text: str) -> str:
    """One line of printable text, whatever names and error messages hold."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
