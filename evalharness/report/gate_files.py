"""Write the gate's decision as a JSON document, JUnit XML, or a Markdown comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from evalharness.analysis.gate import CandidateDecision, Decision, GateOutcome, UnitDecision
from evalharness.analysis.gate_findings import UnitOutcome
from evalharness.analysis.gate_text import loss_bound
from evalharness.records.comparison import Level
from evalharness.report.gate_lines import MARKS, MAY, WORDS, GateText, full_name, headline
from evalharness.report.wording import inert, one_line

ATTRIBUTES = ("metric", "n", "base", "margin", "lost", "gained", "p_forgotten", "p_forgotten_adjusted", "p_retained")
FAILS = {UnitOutcome.FORGOTTEN: Failure, UnitOutcome.NOT_MEASURED: Error, UnitOutcome.RETAINED: None}
COMMENT = 60_000  # characters of a comment: GitHub takes 65,536


def document(text: GateText) -> dict[str, Any]:
    """Return the decision as a JSON-like mapping."""
    decision, policy = text.decision, text.policy
    return {
        "exit_code": decision.exit_code,
        "outcome": WORDS[decision.exit_code],
        "reasons": decision.reasons,
        "remarks": decision.remarks,
        "candidates": [_candidate(each) for each in decision.candidates],
        "policy": {**policy.facts(text.results.signature), "sources": policy.every_source},
        "changed": text.changed,
        "notice": text.notice,
    }


def _candidate(candidate: CandidateDecision) -> dict[str, Any]:
    return {
        "name": candidate.name,
        **({"against": candidate.against} if candidate.against else {}),
        "exit_code": candidate.exit_code,
        "outcome": WORDS[candidate.exit_code],
        "reasons": candidate.reasons,
        "remarks": candidate.remarks,
        "units": [_unit(unit) for unit in candidate.units],
    }


def _unit(unit: UnitDecision) -> dict[str, Any]:
    """Return a gate unit or the suite as JSON. `loss_not_excluded` is in the metric's unit; None if no size of loss is
    excluded.
    """
    row = asdict(unit.row)
    low = loss_bound(unit.row)
    return {
        "name": row["task"],
        "level": row["level"],
        "outcome": unit.outcome,
        "reason": unit.reason,
        **{name: row[name] for name in ATTRIBUTES},
        "candidate": row["candidate_score"],
        "difference": row["difference"],
        "loss_not_excluded": None if low is None else max(0.0, -low),
    }


# ---- JUnit -----------------------------------------------------------------------------------------------------------


def junit(decision: Decision) -> str:
    """Return the decision as JUnit XML: a test suite for each candidate, a case for its suite and every gate unit. A
    forgotten unit is a failure, an unmeasured one an error, an undecided one is skipped; an incomplete run is an error.
    """
    xml = JUnitXml("evalharness")
    for candidate in decision.candidates:
        suite = TestSuite(full_name(candidate))
        for unit in candidate.units:
            suite.add_testcase(_case(candidate, unit))
        if candidate.exit_code == GateOutcome.INCOMPLETE:
            suite.add_testcase(_broken(full_name(candidate), "complete", candidate.reasons))
        xml.add_testsuite(suite)
    if not decision.candidates:
        suite = TestSuite("evalharness")
        suite.add_testcase(_broken("evalharness", "compared", decision.reasons))
        xml.add_testsuite(suite)
    return str(xml.tostring().decode())  # type: ignore[no-untyped-call]


def _case(candidate: CandidateDecision, unit: UnitDecision) -> TestCase:
    over = "suite " if unit.row.level == Level.SUITE else ""
    case = TestCase(f"{over}{one_line(unit.row.task)}", f"evalharness.{full_name(candidate)}")
    kind = FAILS.get(unit.outcome, Skipped)
    if kind is not None:
        case.result = [kind(unit.reason or f"{one_line(unit.row.task)}: {unit.outcome}", str(unit.outcome))]
    return case


def _broken(name: str, what: str, reasons: tuple[str, ...]) -> TestCase:
    case = TestCase(what, f"evalharness.{one_line(name)}")
    case.result = [Error("; ".join(reasons), "incomplete")]
    return case


# ---- Markdown --------------------------------------------------------------------------------------------------------


def markdown(text: GateText) -> str:
    """Return the decision as a comment on a pull request: the outcome, a line for each candidate, and the folded
    reasons. Names and others' texts are escaped, so that nothing in them is markup, a mention or an address.
    """
    comment = "\n".join(_markdown(text)) + "\n"
    if len(comment) <= COMMENT:
        return comment
    beginning = comment[:COMMENT].rpartition("\n")[0]
    closing = "\n\n</details>" if beginning.count("<details>") > beginning.count("</details>") else ""
    return f"{beginning}{closing}\n\n… shortened\n"


def _markdown(text: GateText) -> Iterator[str]:
    decision = text.decision
    yield f"### evalharness: gate {WORDS[decision.exit_code]}"
    yield ""
    order = text.order
    if order.choice:
        yield from (inert(order.choice), "")
    for each in order.candidates:
        yield f"* {MARKS[each.standing]} {inert(headline(each))}"
    yield from (f"* {inert(line)}" for line in text.of_the_run)
    for each in order.candidates:
        if lines := (*each.decision.reasons, *each.decision.remarks):
            summary = f"{inert(full_name(each.decision))} {MAY[each.standing]}: why"
            yield from ("", f"<details><summary>{summary}</summary>", "")
            yield from (f"* {inert(line)}" for line in lines)
            yield from ("", "</details>")
    yield from ("", f"<sub>{inert('; '.join(filter(None, (*text.policy_lines, text.notice))))}</sub>")
