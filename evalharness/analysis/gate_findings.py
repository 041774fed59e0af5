"""Find what keeps a candidate from passing the gate, and what of it the policy excuses.

A gate unit is a task or group that the gate judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import PurePath

from evalharness.analysis import gate_text
from evalharness.analysis.unit_rules import (
    UnitNames,
    UnitRule,
    is_known,
    names_checked_before,
    names_known,
    policy_for_units,
    unit_rules,
    waiver_of,
)
from evalharness.records.comparison import Comparison, Flag, Level
from evalharness.records.measurements import ExampleError
from evalharness.records.policy import Policy, Severity
from evalharness.records.results import Results
from evalharness.stats.enums import Verdict


class UnitOutcome(StrEnum):
    """The gate's outcome for one gate unit, or for the suite."""

    RETAINED = "retained"
    INCONCLUSIVE = "inconclusive"  # of a unit: stops nothing by itself
    OFF = "not looked at"
    WAIVED = "waived"
    WARNED = "warned of"
    OVER_LIMIT = "over a limit"
    ABOVE_CEILING = "above its ceiling"
    SUSPECT = "suspect"
    FORGOTTEN = "forgotten"
    NOT_MEASURED = "not measured"


EXCUSES = (UnitOutcome.OFF, UnitOutcome.WAIVED, UnitOutcome.WARNED)
Finding = tuple[UnitOutcome, str]  # the outcome of a row, and the reason in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRows:
    """The rows of one candidate, with the policy's rules for them on one day.

    `name`: the candidate's. `today`: the day for which waivers count. `rules`: the rule for each gate unit, by its
    name.
    """

    results: Results
    name: str
    policy: Policy
    today: date
    rows: Sequence[Comparison]
    rules: Mapping[str, UnitRule]

    @classmethod
    def of(cls, results: Results, name: str, policy: Policy, today: date) -> CandidateRows:
        """Select a candidate's rows. Raises UsageError for a policy on something that is no gate unit."""
        every = {row.task: UnitNames.of(row) for row in results.comparisons if row.is_gate_unit}
        others = {row.task for row in results.comparisons}
        before = names_checked_before(results.signature)
        policy = policy_for_units(policy, list(every.values()), others, lambda name: name in before or is_known(name))
        rows = [row for row in results.comparisons if row.candidate == name]
        rules = unit_rules(policy, [UnitNames.of(row) for row in rows if row.is_gate_unit])
        return cls(results=results, name=name, policy=policy, today=today, rows=rows, rules=rules)

    @property
    def units(self) -> list[Comparison]:
        return [row for row in self.rows if row.is_gate_unit]

    @property
    def suite(self) -> Comparison | None:
        return next((row for row in self.rows if row.unit and row.level == Level.SUITE), None)

    def excuse(self, row: Comparison) -> Finding | None:
        """Return the outcome and the reason by which the policy excuses findings on this row; None if it does not."""
        rule, waiver = self.rules.get(row.task, UnitRule()), None
        severity = self.policy.severity if row.level == Level.SUITE else rule.severity
        if row.is_gate_unit:
            waiver = waiver_of(self.policy, UnitNames.of(row), self.name, self.today)
        if severity == Severity.OFF:
            return UnitOutcome.OFF, "off"
        if waiver is not None:
            return UnitOutcome.WAIVED, f"waived until {waiver.expires.isoformat()} ({waiver.reason})"
        return (UnitOutcome.WARNED, "warning") if severity == Severity.WARN else None

    def findings(self, row: Comparison) -> list[Finding]:
        """Return the gate's findings on a gate unit or the suite, the worst first; each stops the candidate unless
        excused.
        """
        if not row.n:
            return [(UnitOutcome.NOT_MEASURED, gate_text.not_measured(row, self.results))]
        if row.verdict == Verdict.FORGOTTEN:
            return [(UnitOutcome.FORGOTTEN, gate_text.forgotten(row)), *self._over_limits(row)]
        if row.level == Level.SUITE:
            lines = [] if row.verdict == Verdict.RETAINED else [gate_text.undecided(row, self.units)]
            lines += [gate_text.target_unknown(row, self.units)] if Flag.NO_TARGET in row.flags else []
            return [(UnitOutcome.INCONCLUSIVE, line) for line in lines]
        suspect = [(UnitOutcome.SUSPECT, gate_text.suspect(row))] if Flag.SUSPECT in row.flags else []
        return [*suspect, *self._above_ceiling(row), *self._over_limits(row)]

    def _above_ceiling(self, row: Comparison) -> list[Finding]:
        """Return the finding that a loss above the ceiling is not excluded, or that the unit needs a ceiling of its
        own.
        """
        ceiling, low = self.rules[row.task].ceiling, gate_text.loss_bound(row)
        if ceiling is not None and (low is None or low < -ceiling):
            return [(UnitOutcome.ABOVE_CEILING, gate_text.above_ceiling(row, ceiling))]
        missing = ceiling is None and self.policy.ceiling is not None
        return [(UnitOutcome.ABOVE_CEILING, gate_text.no_ceiling(row))] if missing else []

    def _over_limits(self, row: Comparison) -> list[Finding]:
        """Return the findings that more of the candidate's answers are unfit (empty, cut off, unreadable) than the
        policy allows.
        """
        shares = {} if row.unfit is None else {name: getattr(row.unfit, name) for name in self.policy.limits}
        over = {name: share for name, share in shares.items() if name != "failed" and share > self.policy.limits[name]}
        lines = (gate_text.over_limit(row, name, share, self.policy.limits[name]) for name, share in over.items())
        return [(UnitOutcome.OVER_LIMIT, line) for line in lines]

    @property
    def tolerated(self) -> set[str]:
        """The tasks of gate units on which no more examples failed than the policy allows; empty if it states
        no limit.
        """
        limit, groups = self.policy.limits.get("failed"), self.results.signature.get("groups") or {}
        units = [row for row in self.units if limit is not None and row.unfit and row.unfit.failed <= limit]
        return {task for row in units for task in (row.task, *groups.get(row.task, ()))}

    def incomplete(self) -> list[str]:
        """Return why nothing can be concluded: the policy requires more, there is no verdict, nothing was measured,
        examples failed, or scores were left out.
        """
        reasons = [*self._not_asked(), *self._not_recorded()]
        reasons += [] if self.suite else [f"incomplete: {self.name} has no verdict over the suite"]
        reasons += [gate_text.not_measured(row, self.results) for row in self.rows if row.unit and not row.n]
        others, tolerated = set(self.results.candidates) - {self.name}, self.tolerated
        by_task = dict[tuple[str, str], list[ExampleError]]()
        for error in self.results.errors:
            if error.model not in others and error.task not in tolerated:
                by_task.setdefault((error.task, error.model), []).append(error)
        reasons += [gate_text.failed(errors) for errors in by_task.values()]
        explained = {task for task, _ in by_task} | tolerated
        flagged = [row for row in self.rows if Flag.INCOMPLETE in row.flags and row.task not in tolerated]
        by_name = [r for r in flagged if r.level == Level.TASK and r.primary and r.task not in explained]
        reasons += [f"incomplete: {self.name} on {row.task}: not all examples were answered" for row in by_name]
        means = (Level.SUITE, Level.FAMILY)
        flagged = [row for row in flagged if not (tolerated and row.level in means)]
        return reasons or ["incomplete: not all examples were answered"] * bool(flagged)

    def _not_asked(self) -> list[str]:
        """Return what the policy requires and the run did not ask: its suite, or tasks."""
        suite, run_suite = self.policy.suite, self.results.signature.get("suite")
        of = f"the suite {run_suite}" if run_suite else "no suite"
        reasons = []
        if suite is not None and run_suite not in (suite, PurePath(suite).stem):  # it may be named by its file
            reasons.append(f"incomplete: the policy is for the suite {suite}, the run asked {of}")
        there = {name for row in self.rows for name in names_known(row.task, row.variant)}
        missing = [name for name in self.policy.require if name not in there]
        return reasons + [f"incomplete: the policy requires {name}, which was not asked" for name in missing]

    def _not_recorded(self) -> list[str]:
        """Return the units whose results lack the shares of unfit answers that the policy limits."""
        units = [row.task for row in self.units if self.policy.limits and row.n and row.unfit is None]
        what = (
            "how many answers were unfit is not recorded, and the policy limits that; judge again with `compare --out`"
        )
        return [f"incomplete: {self.name} on {', '.join(units)}: {what}"] if units else []
