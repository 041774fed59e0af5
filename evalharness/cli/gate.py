"""`evalharness gate`: judge a finished run, and end with the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evalharness.analysis.gate import Decision, GateOutcome, judge
from evalharness.analysis.judging import judged_results
from evalharness.cli.options import ceilings, debug_option, json_option, policy_options, with_options
from evalharness.records.policy import OnInconclusive, Policy, Source
from evalharness.records.results import Results
from evalharness.report.escape import plain

WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FORGOTTEN: "failed: forgotten",
    GateOutcome.UNDECIDED: "undecided",
    GateOutcome.INCOMPLETE: "no verdict: incomplete, or nothing measured",
}


@click.command("gate")
@click.argument("run", type=click.Path(path_type=Path))
@with_options(*policy_options, json_option, debug_option)
def gate_command(
    run: Path, on_inconclusive: str | None, ceiling_texts: tuple[str, ...], as_json: bool, debug: bool
) -> int:
    """May the candidates of RUN ship? 0 yes, 3 forgotten, 4 undecided, 5 incomplete or nothing measured.

    A candidate passes when no gate unit is forgotten or suspect, the suite as a whole is shown to be retained, and no
    loss above a --ceiling remains possible.
    """
    undecided = None if on_inconclusive is None else OnInconclusive(on_inconclusive)
    ceiling, named = ceilings(ceiling_texts)
    policy = Policy(on_inconclusive=undecided, ceiling=ceiling, ceilings=named)
    results, notice = judged_results(run)
    return decide(results, policy, as_json=as_json, notice=notice)


def decide(results: Results, policy: Policy, aside: bool = False, as_json: bool = False, notice: str = "") -> int:
    """Judge, print why, and return the exit code. `aside`: on stderr, where stdout is for something else; `notice`:
    how the results came to be.
    """
    decision = judge(results, policy)
    if as_json:
        click.echo(json.dumps(_document(decision, results, policy, notice), indent=1))
    else:
        for line in _lines(decision, results, policy, notice):
            click.echo(plain(line), err=aside)
    return decision.exit_code


def _document(decision: Decision, results: Results, policy: Policy, notice: str) -> dict[str, Any]:
    said = {
        "exit_code": decision.exit_code,
        "outcome": WORDS[decision.exit_code],
        "reasons": decision.reasons,
        "remarks": decision.remarks,
    }
    candidates = [{**asdict(each), "outcome": WORDS[each.exit_code]} for each in decision.candidates]
    under = {
        "policy": {**policy.facts(results.signature), "sources": policy.sources},
        "changed": _changed(policy, results.signature),
    }
    return {**said, "candidates": candidates, **under, "notice": notice}


def _lines(decision: Decision, results: Results, policy: Policy, notice: str) -> Iterator[str]:
    """The outcome, under which policy, and why; then what a pass does not exclude."""
    yield ""
    changes = _changed(policy, results.signature)
    under = f" (under another policy than the run was started with: {'; '.join(changes)})" if changes else ""
    yield f"gate {WORDS[decision.exit_code]}{under}"
    yield f"  {_policy_line(policy, results.signature)}"
    if notice:
        yield f"  {notice}"
    yield from (f"  {line}" for line in (*decision.reasons, *decision.remarks))


def _policy_line(policy: Policy, signature: Mapping[str, Any]) -> str:
    """The policy in one line: each value, and where it came from."""
    facts, sources = policy.facts(signature), policy.sources
    each = ", ".join(f"{name}={value:g}" for name, value in policy.ceilings.items())
    parts = [
        f"on inconclusive {facts['on_inconclusive']} ({sources['on_inconclusive']})",
        f"ceiling {_value(policy.ceiling)} ({sources['ceiling']})",
        *([f"ceiling {each} ({Source.OPTION})"] if each else []),
        f"alpha {_value(facts['alpha'])}, margin {_value(facts['margin'])} (the run)",
    ]
    return f"policy {facts['digest'][:8]}: " + ", ".join(parts)


def _changed(policy: Policy, signature: Mapping[str, Any]) -> list[str]:
    """In what the policy differs from the one that the run was started with, where the run says that."""
    then = signature.get("policy")
    now = policy.facts(signature)
    if then is None or then["digest"] == now["digest"]:
        return []
    names = (name for name in now if name != "digest" and now[name] != then[name])
    return [f"{name} {_value(then[name])} then, {_value(now[name])} now" for name in names]


def _value(value: object) -> str:
    """A value of the policy in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={number:g}" for name, number in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
