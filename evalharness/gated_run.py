"""Assert in a test that a finished run passes the gate: one gate unit, the suite, or a whole candidate."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.analysis import gate_text
from evalharness.analysis.baseline_gate import decide
from evalharness.analysis.candidate_order import JudgedCandidate
from evalharness.analysis.gate import UNDECIDED, CandidateDecision, Decision, GateOutcome
from evalharness.analysis.gate_findings import EXCUSES, UnitOutcome
from evalharness.analysis.judging import judged_by
from evalharness.analysis.policy_file import policy_of
from evalharness.analysis.unit_rules import names_known
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.results import Results
from evalharness.report.escape import plain
from evalharness.report.gate_lines import headline


@dataclass(frozen=True, slots=True)
class GatedRun:
    """The results of a finished run, and the gate's decision on them under a policy.

    Its methods take the name of one of the run's candidates; None: each of them must pass. A gate unit is a task or
    group that the gate judges; the suite is the mean over all gate units.
    """

    results: Results = field(repr=False)  # pytest shows the arguments of a test that fails
    decision: Decision = field(repr=False)

    def assert_retained(self, unit: str, candidate: str | None = None, allow_undecided: bool = False) -> None:
        """Raise AssertionError, with the gate's reason, unless a gate unit or the suite is retained.

        As at the gate, a unit passes if the policy waives it, only warns of it or turns it off; with `allow_undecided`,
        an undecided unit passes, too. No unit of an incomplete candidate passes. Raises UsageError for a unit or a
        candidate that is not in the run.
        """
        __tracebackhide__ = True  # pytest then shows the test's own line
        passing = (UnitOutcome.RETAINED, *EXCUSES, *(UNDECIDED if allow_undecided else ()))
        _refuse(line for each in self._of(candidate) for line in _against_unit(each, unit, passing))

    def assert_may_ship(self, candidate: str | None = None) -> None:
        """Raise AssertionError, with the gate's reasons, unless the gate passes a candidate. Raises UsageError for one
        that is not in the run.
        """
        __tracebackhide__ = True
        stopped = (each for each in self._of(candidate) if each.exit_code != GateOutcome.PASSED)
        _refuse(line for each in stopped for line in (headline(JudgedCandidate(each)), *each.reasons))

    def _of(self, candidate: str | None) -> list[CandidateDecision]:
        __tracebackhide__ = True
        every = self.decision.candidates
        if not every:
            _refuse(self.decision.reasons)
        matches = [each for each in every if candidate in (None, each.name)]
        if not matches:
            names = {each.name for each in every}
            raise UsageError("candidate", f"no candidate {candidate!r} in the run", did_you_mean(str(candidate), names))
        return matches


def gated_run(run: Path, policy: str | None, start: Path) -> GatedRun:
    """Return the run of a folder, judged by a policy.

    `policy`: a file, or "none"; None: the file that is found from the folder `start`. Raises UsageError and
    NotComparableError as the gate does.
    """
    read = policy_of(policy, start)
    results = judged_by(run, read)[0]
    return GatedRun(results, decide(run, results, read))


def _against_unit(candidate: CandidateDecision, unit: str, passing: Collection[UnitOutcome]) -> Iterator[str]:
    """Yield the gate's reasons against one gate unit of a candidate."""
    by_name = {name: each for each in candidate.units for name in names_known(each.row.task, each.row.variant)}
    if unit not in by_name:
        raise UsageError("unit", f"no gate unit {unit!r} in the run", did_you_mean(unit, by_name))
    of = f"against {candidate.against}: " if candidate.against else ""
    if candidate.exit_code == GateOutcome.INCOMPLETE:
        yield from (f"{of}{reason}" for reason in candidate.reasons)
    elif (decision := by_name[unit]).outcome not in passing:
        yield of + (decision.reason or gate_text.one_line(gate_text.inconclusive(decision.row)))


def _refuse(lines: Collection[str] | Iterator[str]) -> None:
    __tracebackhide__ = True
    if reasons := "\n".join(map(plain, lines)):
        raise AssertionError(reasons)
