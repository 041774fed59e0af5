"""`evalharness gate`: judge a finished run, and end with the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import mode
from typing import Any

import click

from evalharness.analysis.gate import Decision, GateOutcome, judge, names_known
from evalharness.analysis.judging import judged_results
from evalharness.cli.command import Command
from evalharness.cli.option_texts import ceilings
from evalharness.cli.options import debug_option, json_option, policy_options, with_options
from evalharness.cli.printing import print_json, print_line
from evalharness.records.policy import OnInconclusive, Policy, Source
from evalharness.records.results import Results

WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FORGOTTEN: "failed: forgotten",
    GateOutcome.UNDECIDED: "undecided",
    GateOutcome.INCOMPLETE: "no verdict: incomplete, or nothing measured",
}


@click.command("gate", cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@with_options(*policy_options, json_option, debug_option)
def gate_command(
    run: Path, on_inconclusive: str | None, ceiling_texts: tuple[str, ...], as_json: bool, debug: bool
) -> int:
    """May the candidates of RUN ship? 0 yes, 3 forgotten, 4 undecided, 5 incomplete or nothing measured.

    A candidate passes when no gate unit is forgotten or suspect, the suite as a whole is shown to be retained, and no
    loss above a --ceiling remains possible. A --ceiling for all holds for what is scored from 0 to 1; under it every
    other gate unit (MCC, BLEU) needs one of its own.
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
        print_json(json.dumps(_document(decision, results, policy, notice), indent=1))
    else:
        for line in _lines(decision, results, policy, notice):
            print_line(line, err=aside)
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
    yield f"  {_policy_line(policy, results)}"
    if notice:
        yield f"  {notice}"
    yield from (f"  {line}" for line in (*decision.reasons, *decision.remarks))


def _policy_line(policy: Policy, results: Results) -> str:
    """The policy in one line: each value, and where it came from."""
    facts, sources = policy.facts(results.signature), policy.sources
    each = ", ".join(f"{name}={value:g}" for name, value in policy.ceilings.items())
    parts = [
        f"on inconclusive {facts['on_inconclusive']} ({sources['on_inconclusive']})",
        f"ceiling {_value(policy.ceiling)} ({sources['ceiling']})",
        *([f"ceiling {each} ({Source.OPTION})"] if each else []),
        f"alpha {_value(facts['alpha'])} (the run)",
        f"margin {_margins(results)}",
    ]
    return f"policy {facts['digest'][:8]}: " + ", ".join(parts)


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
