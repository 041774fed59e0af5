"""Say in lines of a terminal or a CI log what the gate decided: under which policy, and why of every candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mode

from evalharness.analysis.gate import (
    CandidateDecision,
    Decision,
    GateOutcome,
    UnitDecision,
    UnitOutcome,
    names_known,
    worst,
)
from evalharness.analysis.number_text import signed
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.policy import Policy, Source
from evalharness.records.results import Results
from evalharness.report.wording import counted, interval, listed, one_line

WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FORGOTTEN: "failed: forgotten",
    GateOutcome.UNDECIDED: "undecided",
    GateOutcome.INCOMPLETE: "no verdict: incomplete, or nothing measured",
}
MARKS = {GateOutcome.PASSED: "✓", GateOutcome.FORGOTTEN: "✗", GateOutcome.UNDECIDED: "?", GateOutcome.INCOMPLETE: "!"}
MAY = {
    GateOutcome.PASSED: "may ship",
    GateOutcome.FORGOTTEN: "may not ship",
    GateOutcome.UNDECIDED: "is undecided",
    GateOutcome.INCOMPLETE: "has no verdict",
}
RULES = {
    GateOutcome.INCOMPLETE: "an example failed, or nothing was measured: that comes before every verdict",
    GateOutcome.FORGOTTEN: "a gate unit is shown to have lost more than its margin (p_forgotten, adjusted by Holm over "
    "the candidate's gate units, is at most alpha), or the suite is",
    GateOutcome.UNDECIDED: "nothing is shown to be forgotten, but the suite is not shown to be retained, a unit is "
    "suspect (p_forgotten at most the smaller of alpha and 0.75 over the number of gate units), or a larger loss than "
    "a ceiling is not excluded, and the policy does not let that pass",
    GateOutcome.PASSED: "the suite is shown to be retained, no unit is suspect, and no loss above a ceiling remains "
    "possible",
}
LET_PASS = "nothing is shown to be forgotten, and the policy lets what is undecided pass (--on-inconclusive pass)"


@dataclass(frozen=True, slots=True)
class GateText:
    """A decision, what it is about, and under which policy. `notice`: how the results came to be."""

    decision: Decision
    results: Results
    policy: Policy
    notice: str = ""

    @property
    def changed(self) -> list[str]:
        """In what the policy differs from the one that the run was started with, where the run says that."""
        then, now = self.results.signature.get("policy"), self.policy.facts(self.results.signature)
        if then is None or then["digest"] == now["digest"]:
            return []
        names = (name for name in now if name != "digest" and now[name] != then[name])
        return [f"{name} {_value(then[name])} then, {_value(now[name])} now" for name in names]

    @property
    def of_the_run(self) -> list[str]:
        """Reasons and remarks that are of no candidate alone."""
        told = {line for each in self.decision.candidates for line in (*each.reasons, *each.remarks)}
        return [line for line in (*self.decision.reasons, *self.decision.remarks) if line not in told]

    @property
    def policy_line(self) -> str:
        """The policy in one line: each value, and where it came from."""
        facts, sources = self.policy.facts(self.results.signature), self.policy.sources
        each = ", ".join(f"{name}={value:g}" for name, value in self.policy.ceilings.items())
        parts = [
            f"on inconclusive {facts['on_inconclusive']} ({sources['on_inconclusive']})",
            f"ceiling {_value(self.policy.ceiling)} ({sources['ceiling']})",
            *([f"ceiling {each} ({Source.OPTION})"] if each else []),
            f"alpha {_value(facts['alpha'])} (the run)",
            f"margin {_margins(self.results)}",
        ]
        return f"policy {facts['digest'][:8]}: " + ", ".join(parts)

    def lines(self, explain: bool = False) -> Iterator[str]:
        """The outcome, under which policy, then of every candidate why it may or may not ship, and what a pass does not
        exclude. `explain`: by which rule every exit code came about, too.
        """
        yield ""
        changes = self.changed
        under = f" (under another policy than the run was started with: {'; '.join(changes)})" if changes else ""
        yield f"gate {WORDS[self.decision.exit_code]}{under}"
        yield from (f"  {line}" for line in (self.policy_line, self.notice) if line)
        for candidate in self.decision.candidates:
            yield f"  {MARKS[candidate.exit_code]} {headline(candidate)}"
            yield from (f"    {line}" for line in (*candidate.reasons, *candidate.remarks))
        yield from (f"  {line}" for line in self.of_the_run)
        if explain:
            yield from (f"  {line}" for line in _rules(self.decision, self.policy))


def headline(candidate: CandidateDecision) -> str:
    """May it ship? Then how its gate units stand, the suite, and the unit that lost most, each in its own unit."""
    units = [unit for unit in candidate.units if unit.row.is_gate_unit]
    parts = [_counts(units)] if units else []
    parts += [f"suite {_difference(unit.row)}" for unit in candidate.units if unit.row.level == Level.SUITE]
    if any(unit.row.difference for unit in units):
        lowest = worst(unit.row for unit in units)
        parts.append(f"lowest {one_line(lowest.task)} {_difference(lowest)}")
    return f"{one_line(candidate.name)} {MAY[candidate.exit_code]}{': ' if parts else ''}{'; '.join(parts)}"


def _rules(decision: Decision, policy: Policy) -> Iterator[str]:
    """By which rule each candidate's exit code, and that of all, came about."""
    for each in decision.candidates:
        undecided = any(unit.reason for unit in each.units)
        let_pass = each.exit_code == GateOutcome.PASSED and policy.passes_undecided and undecided
        yield f"{one_line(each.name)}: {int(each.exit_code)}, because {LET_PASS if let_pass else RULES[each.exit_code]}"
    yield f"exit code {int(decision.exit_code)}: that of the candidate of which it is worst (5, then 3, 4, 0)"


def _counts(units: Sequence[UnitDecision]) -> str:
    """How many gate units there are, and what the gate makes of them, the worst first."""
    counts = Counter(unit.outcome for unit in units)
    shown = [f"{counts[outcome]} {outcome}" for outcome in reversed(UnitOutcome) if counts[outcome]]
    return f"{counted(len(units), 'gate unit')}, {listed(shown)}"


def _difference(row: Comparison) -> str:
    """Of the row's own metric: points where it is scored from 0 to 1."""
    if row.difference is None:
        return "not measured"
    scale, places, unit = (100, 1, "points") if row.points else (1, 2, one_line(row.metric))
    value, low, high = row.difference.value, row.difference.low, row.difference.high
    bounds = {name: None if at is None else scale * at for name, at in (("low", low), ("high", high))}
    scaled = Estimate(value=scale * value, **bounds)
    return f"{signed(scaled.value, places)} {unit} {interval(scaled, places)}".rstrip()


def _margins(results: Results) -> str:
    """The margins of the gate units, and whether the user gave them: the most common one alone, others by name."""
    units = {row.task: row for row in results.comparisons if row.is_gate_unit and row.margin}
    of_all, of_single = results.signature.get("margin"), set(results.signature.get("margins") or {})
    named = {name for name, row in units.items() if of_single & set(names_known(name, row.variant))}
    unnamed = [row.margin for name, row in units.items() if name not in named]
    common = mode(unnamed) if unnamed else None
    texts: dict[Source, dict[str, None]] = {Source.DEFAULT: {}, Source.OPTION: {}}
    for name, row in units.items():
        source = Source.OPTION if name in named or row.margin == of_all else Source.DEFAULT
        alone = row.margin == common and name not in named
        texts[source][f"{row.margin:g}" if alone else f"{name}={row.margin:g}"] = None
    return ", ".join(f"{', '.join(each)} ({source})" for source, each in texts.items() if each) or "none"


def _value(value: object) -> str:
    """A value of the policy in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={number:g}" for name, number in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
