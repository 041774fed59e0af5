"""Write the gate's decision as lines for a terminal or a CI log: the policy, and the reasons for every candidate.

A gate unit is a task or group of tasks that the gate judges; the suite is the mean over all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mode

from evalharness.analysis.candidate_order import CandidateOrder, JudgedCandidate, Standing, candidate_order
from evalharness.analysis.gate import CandidateDecision, Decision, GateOutcome, UnitDecision, worst
from evalharness.analysis.gate_findings import EXCUSES, UnitOutcome
from evalharness.analysis.metric_unit import metric_unit
from evalharness.analysis.unit_rules import names_known
from evalharness.records.comparison import Comparison
from evalharness.records.policy import BY_NAME, DEFAULT, OPTION, OnInconclusive, Policy
from evalharness.records.results import Results
from evalharness.report.wording import LONGEST_NAME, counted, listed, one_line

WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FORGOTTEN: "failed: forgotten",
    GateOutcome.UNDECIDED: "undecided",
    GateOutcome.INCOMPLETE: "no verdict: incomplete, or nothing measured",
}
MARKS = {
    Standing.SHIPS: "✓",
    Standing.UNLEARNED: "○",
    Standing.UNDECIDED: "?",
    Standing.FORGOTTEN: "✗",
    Standing.INCOMPLETE: "!",
}
MAY = {
    Standing.SHIPS: "may ship",
    Standing.UNLEARNED: "may ship",
    Standing.UNDECIDED: "is undecided",
    Standing.FORGOTTEN: "may not ship",
    Standing.INCOMPLETE: "is incomplete",
}
RULES = {  # by the word that a reason begins with
    "incomplete": "an example failed, nothing was measured, or the policy requires more than was asked: that comes "
    "before every verdict",
    "forgotten": "a gate unit is shown to have lost more than its margin (p_forgotten, adjusted by Holm over the "
    "candidate's gate units, is at most alpha), or the suite is",
    "undecided": "the suite is not shown to be retained",
    "target unknown": "the candidate's target is not stated, so that the suite may include a gain on it",
    "suspect": "a unit is suspect (p_forgotten at most the smaller of alpha and 0.75 over the number of gate units)",
    "ceiling": "a larger loss than a ceiling is not excluded",
    "limit": "more answers are unfit than a limit of the policy allows",
}
PASSES = "the suite is shown to be retained, no unit is suspect, and no loss above a ceiling remains possible"
LET_PASS = "nothing is shown to be forgotten, and the policy lets what is undecided pass"
EXCUSED = "; what is waived, warned of or not looked at does not count"


@dataclass(frozen=True, slots=True)
class GateText:
    """The gate's decision on a run, with all that its text needs.

    `results`: what was decided on. `policy`: by which rules. `notice`: a sentence that says that the stored results
    were judged again, by this version's rules or other margins; "" if they were not.
    """

    decision: Decision
    results: Results
    policy: Policy
    notice: str = ""

    @property
    def order(self) -> CandidateOrder:
        """The candidates of the decision, in the order that every output uses."""
        return candidate_order(self.results, self.decision.candidates)

    @property
    def changed(self) -> list[str]:
        """The differences between this policy and the one that the run was started with; empty if the run does not
        record that.
        """
        then, now = self.results.signature.get("policy"), self.policy.facts(self.results.signature)
        if then is None or then["digest"] == now["digest"]:
            return []
        then = {**Policy().facts({}), **then}  # earlier versions did not record all keys; they had defaults
        names = (name for name in now if name != "digest" and now[name] != then[name])
        return [f"{name} {_value(then[name])} then, {_value(now[name])} now" for name in names]

    @property
    def of_the_run(self) -> list[str]:
        """The reasons and remarks on the whole run."""
        of_candidates = {line for each in self.decision.candidates for line in (*each.reasons, *each.remarks)}
        return [line for line in (*self.decision.reasons, *self.decision.remarks) if line not in of_candidates]

    @property
    def policy_lines(self) -> list[str]:
        """The policy as lines: each value, and where it came from."""
        policy, facts = self.policy, self.policy.facts(self.results.signature)
        alpha = policy.sources.get("alpha", "the run")
        of_units = [
            f"on inconclusive {facts['on_inconclusive']} ({policy.source('on_inconclusive')})",
            f"ceiling {_value(policy.ceiling)} ({policy.source('ceiling')})",
            *_by_name(policy, "ceilings"),
            f"alpha {_value(facts['alpha'])} ({alpha})",
            f"margin {_margins(self.results, policy)}",
        ]
        others = [f"{key} {_value(facts[key])} ({policy.source(key)})" for key in ("severity", "against", "baseline")]
        others += [*_by_name(policy, "severities"), f"suite {policy.suite or 'any'} ({policy.source('suite')})"]
        others += [f"requires {', '.join(policy.require) or 'nothing'} ({policy.source('require')})"]
        others += _by_name(policy, "limits") or [f"limits none ({DEFAULT})"]
        others += [] if policy.waivers else [f"waivers none ({DEFAULT})"]
        waivers = [f"waiver of {waiver.words} ({policy.source('waivers')})" for waiver in policy.waivers]
        whole = [f"policy {facts['digest'][:8]}: {', '.join(of_units)}", f"policy: {', '.join(others)}", *waivers]
        return [one_line(line) for line in whole]

    def lines(self, explain: bool = False) -> Iterator[str]:
        """Yield the outcome, the policy, then for every candidate why it may or may not ship, and what a pass does not
        exclude. `explain`: add the rule behind every exit code.
        """
        yield ""
        changes = self.changed
        under = f" (under another policy than the run was started with: {'; '.join(changes)})" if changes else ""
        yield f"gate {WORDS[self.decision.exit_code]}{under}"
        yield from (f"  {line}" for line in (*self.policy_lines, self.notice) if line)
        order = self.order
        yield from (f"  {line}" for line in (order.choice, order.rule) if line)
        for each in order.candidates:
            yield f"  {MARKS[each.standing]} {headline(each)}"
            yield from (f"    {line}" for line in (*each.decision.reasons, *each.decision.remarks))
        yield from (f"  {line}" for line in self.of_the_run)
        if explain:
            yield from (f"  {line}" for line in _rules(self.decision, self.policy))


def headline(candidate: JudgedCandidate) -> str:
    """Return one line: whether the candidate may ship, how many gate units have which outcome, the suite's difference,
    and the unit that lost most.
    """
    units = candidate.units
    parts = [_counts(units)] if units else []
    parts += [f"suite {_difference(candidate.suite)}"] if candidate.suite else []
    if any(unit.row.difference for unit in units):
        lowest = worst(unit.row for unit in units)
        parts.append(f"lowest {one_line(lowest.task)} {_difference(lowest)}")
    but = f", but did not learn {target_of([candidate])}" if candidate.standing == Standing.UNLEARNED else ""
    return f"{full_name(candidate.decision)} {MAY[candidate.standing]}{but}{': ' if parts else ''}{'; '.join(parts)}"


def target_of(candidates: Sequence[JudgedCandidate]) -> str:
    """Return the name of the target that all these candidates share, else "their targets"."""
    targets = {each.target for each in candidates}
    whose = "its target" if len(candidates) == 1 else "their targets"
    target = targets.pop() if len(targets) == 1 else None
    return whose if target is None else one_line(target, LONGEST_NAME)


def full_name(candidate: CandidateDecision) -> str:
    """Return the candidate's name, with the model whose scores it was compared with unless that is the run's
    own base.
    """
    return one_line(f"{candidate.name} against {candidate.against}" if candidate.against else candidate.name)


def _rules(decision: Decision, policy: Policy) -> Iterator[str]:
    """Yield the rule behind each candidate's exit code, and behind that of the run."""
    for each in decision.candidates:
        yield f"{full_name(each)}: {int(each.exit_code)}, because {_rule(each, policy)}"
    yield f"exit code {int(decision.exit_code)}: that of the candidate of which it is worst (5, then 3, 4, 0)"


def _rule(candidate: CandidateDecision, policy: Policy) -> str:
    """Return the rule by which a candidate has its exit code."""
    kinds = dict.fromkeys(reason.partition(":")[0] for reason in candidate.reasons)
    if candidate.exit_code == GateOutcome.INCOMPLETE:
        return RULES["incomplete"]
    if candidate.exit_code == GateOutcome.FORGOTTEN:
        return RULES["forgotten"]
    excused = EXCUSED if any(unit.outcome in EXCUSES for unit in candidate.units) else ""
    if candidate.exit_code == GateOutcome.UNDECIDED:
        what = " and ".join(RULES[kind] for kind in kinds)
        how = f"on inconclusive {policy.on_inconclusive or OnInconclusive.FAIL}, {policy.source('on_inconclusive')}"
        return f"nothing is shown to be forgotten, but {what}, and the policy does not let that pass ({how}){excused}"
    let_pass = policy.passes_undecided and any(unit.reason and unit.outcome not in EXCUSES for unit in candidate.units)
    return f"{LET_PASS} (on inconclusive pass, {policy.source('on_inconclusive')})" if let_pass else PASSES + excused


def _counts(units: Sequence[UnitDecision]) -> str:
    """Return the number of gate units, and of each outcome, the worst first."""
    counts = Counter(unit.outcome for unit in units)
    parts = [f"{counts[outcome]} {outcome}" for outcome in reversed(UnitOutcome) if counts[outcome]]
    return f"{counted(len(units), 'gate unit')}, {listed(parts)}"


def _difference(row: Comparison) -> str:
    """Return the row's difference in its metric's unit: points for scores from 0 to 1."""
    if row.difference is None:
        return "not measured"
    unit, difference = metric_unit(row), row.difference
    return f"{unit.change(difference.value)} {one_line(unit.name)} {unit.interval(difference)}".rstrip()


def _margins(results: Results, policy: Policy) -> str:
    """Return the margins of the gate units and where each came from: the most common margin once, the others
    by unit.
    """
    units = {row.task: row for row in results.comparisons if row.is_gate_unit and row.margin}
    of_all, of_single = results.signature.get("margin"), results.signature.get("margins") or {}
    stated_names = {}
    for name, row in units.items():
        names = [each for each in (*names_known(name, row.variant), row.family) if each in of_single]
        if names and of_single[names[0]] == row.margin:
            stated_names[name] = names[0]
    unnamed = [row.margin for name, row in units.items() if name not in stated_names]
    common = mode(unnamed) if unnamed else None
    texts: dict[str, dict[str, None]] = {}
    for name, row in units.items():
        source = DEFAULT
        if name in stated_names:
            source = policy.sources.get(f"margins.{stated_names[name]}", OPTION)
        elif row.margin == of_all:
            source = policy.sources.get("margin", OPTION)
        alone = row.margin == common and name not in stated_names
        texts.setdefault(source, {})[f"{row.margin:g}" if alone else f"{name}={row.margin:g}"] = None
    order = sorted(texts, key=lambda source: (source != DEFAULT, source))
    return ", ".join(f"{', '.join(texts[source])} ({source})" for source in order) or "none"


def _by_name(policy: Policy, key: str) -> list[str]:
    """Return the policy's values for single units or kinds of answers, grouped by their source."""
    values, texts = getattr(policy, key), dict[str, list[str]]()
    for name, value in values.items():
        source = policy.sources.get(f"{key}.{name}", OPTION)
        texts.setdefault(source, []).append(f"{name}={_value(value)}")
    return [f"{BY_NAME.get(key, 'limit')} {', '.join(each)} ({source})" for source, each in texts.items()]


def _value(value: object) -> str:
    """Return a value of the policy in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_value(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_value, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
