"""What each value of a policy makes of results: the exit code and the line that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from measured_runs import ACC, ROUGE, answers, measured, measured_run, task

from evalharness.analysis.analyse import analyse
from evalharness.analysis.gate import Decision, judge
from evalharness.analysis.gate_findings import UnitOutcome
from evalharness.analysis.judging import at_policy
from evalharness.errors import UsageError
from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Level
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import ExampleError
from evalharness.records.policy import OnInconclusive, Policy, Severity, Waiver
from evalharness.records.results import Results

TODAY = date(2030, 1, 31)
FILE = "evalharness.toml"


def run_of(lost: dict[str, int], **about: Any) -> MeasuredRun:
    """800 of 1,000 right on every task, so many of them lost; `about`: of every task."""
    rows, facts = [], []
    for name, count in lost.items():
        base, other = answers(1000, 800, count)
        rows += [measured(name, "base", base), measured(name, "c", other)]
        facts.append(task(name, **about))
    groups = {"alpha": 0.05, "suite": "demo", "groups": {}}
    return measured_run(facts, rows, signature=groups)


KEPT = {"kept": 0, "stayed": 0, "same": 0, "more": 0}


def decided(policy: Policy, lost: dict[str, int] | None = None, today: date = TODAY, **about: Any) -> Decision:
    return judge(analyse(run_of({**KEPT, **(lost or {})}, **about)), policy, today=today)


def from_file(**values: Any) -> Policy:
    return Policy().with_values(values, FILE)


def unit(decision: Decision, name: str) -> UnitOutcome:
    return next(each.outcome for each in decision.candidates[0].units if each.row.task == name)


@pytest.mark.parametrize(
    ("lost", "policy", "code", "message"),
    [
        ({}, from_file(), 0, "passed: c"),
        ({"rte": 60}, from_file(), 3, "forgotten: c on rte"),
        ({"rte": 31}, from_file(), 4, "suspect: c on rte"),
        ({"rte": 31}, from_file(on_inconclusive="pass"), 0, "on_inconclusive is pass in evalharness.toml"),
        ({}, from_file(ceiling=0.001), 4, "ceiling: c on kept"),
        ({}, from_file(ceilings={"kept": 0.001}), 4, "ceiling: c on kept"),
        ({}, from_file(ceilings={"glue": 0.001}), 4, "ceiling: c on kept"),  # of its family
        ({}, from_file(ceilings={"glue": 0.001, "kept": 0.1, "same": 0.1, "stayed": 0.1, "more": 0.1}), 0, "passed"),
        ({}, from_file(suite="demo", require=["kept"]), 0, "passed: c"),
        ({}, from_file(suite="forgetting"), 5, "the policy is for the suite forgetting, the run asked the suite demo"),
        ({}, from_file(require=["kept", "mmlu"]), 5, "the policy requires mmlu, which was not asked"),
        ({"rte": 60}, from_file(require=["mmlu"]), 5, "forgotten: c on rte"),  # which is named all the same
    ],
)
def test_what_a_policy_states_gives_its_code(lost: dict[str, int], policy: Policy, code: int, message: str) -> None:
    decision = decided(policy, lost)
    assert decision.exit_code == code
    assert any(message in line for line in (*decision.reasons, *decision.remarks))


def test_a_severity_says_what_of_a_unit_counts() -> None:
    lost = {"rte": 60, "wic": 60}
    for severity, outcome in ((Severity.WARN, UnitOutcome.WARNED), (Severity.OFF, UnitOutcome.OFF)):
        assert decided(from_file(severities={"rte": severity}), lost).exit_code == 3  # wic is left
        both = decided(from_file(severities={"rte": severity, "wic": severity}), lost)
        suite = next(each for each in both.candidates[0].units if each.row.level == Level.SUITE)
        assert both.exit_code == {"forgotten": 3, "retained": 0}.get(str(suite.outcome), 4)
        assert unit(both, "rte") == outcome
        said = [line for line in both.remarks if line.startswith("warning: forgotten: c on rte")]
        assert bool(said) == (severity == Severity.WARN)
    of_family = decided(from_file(severities={"glue": Severity.WARN, "rte": Severity.ERROR}), {"rte": 60})
    assert of_family.exit_code == 3
    all_warned = decided(from_file(severity="warn"), dict.fromkeys(KEPT, 200))
    assert all_warned.exit_code == 0
    assert any(line.startswith("warning: forgotten: c over demo") or "on suite" in line for line in all_warned.remarks)


def test_a_waived_unit_does_not_count_and_stays_in_the_suite() -> None:
    def waiver(**about: Any) -> Policy:
        return from_file(waivers=(Waiver(**{"unit": "rte", "reason": "known", "expires": TODAY, **about}),))

    lost = {"rte": 60}
    passed, before = decided(waiver(), lost), decided(Policy(), lost)
    assert (before.exit_code, passed.exit_code) == (3, 0)
    assert unit(passed, "rte") == UnitOutcome.WAIVED
    says = "waived until 2030-01-31 (known): forgotten: c on rte: acc −0.060"
    assert any(line.startswith(says) for line in passed.remarks)
    suites = [each.candidates[0].units[0].row for each in (passed, before)]
    assert suites[0] == suites[1] and suites[0].level == Level.SUITE
    # another candidate, an earlier end, another unit
    assert decided(waiver(candidate="c"), lost).exit_code == 0
    assert decided(waiver(candidate="d"), lost).exit_code == 3
    assert decided(waiver(unit="kept"), lost).exit_code == 3
    ended = decided(waiver(expires=date(2030, 1, 30)), lost)
    assert ended.exit_code == 3
    assert "expired: the waiver of rte until 2030-01-30: known: it no longer counts" in ended.remarks
    # a suite that is forgotten fails, whatever is waived of its units
    assert decided(waiver(), {**KEPT, "rte": 400}).exit_code == 3
    # what was not measured is no verdict that could be waived
    gone = replace(run_of({**KEPT, "rte": 60}), errors=(ExampleError(task="rte", model="c", example="1", reason="x"),))
    assert judge(analyse(gone), waiver(), today=TODAY).exit_code == 5


COUNTS = AnswerCounts(
    answers=1000, most_common="a", most_common_count=300, most_common_right=250, empty=30, cut_off=40, unreadable=60
)


@pytest.mark.parametrize(
    ("limit", "within", "over", "message"),
    [
        ("empty", 0.03, 0.029, "3.0 % of its answers were empty, the policy allows 2.9 %"),
        ("cut_off", 0.04, 0.039, "4.0 % of its answers were cut off at the length limit"),
        ("unparsed", 0.05, 0.049, "5.0 % of its answers were unreadable"),
        ("truncated", 0.02, 0.019, "2.0 % of its prompts were cut to the window"),
    ],
)
def test_a_limit_on_answers_holds_whatever_is_made_of_the_undecided(
    limit: str, within: float, over: float, message: str
) -> None:
    about = {"answers": {"c": COUNTS}, "unparsed": {"c": 50, "base": 900}, "truncated": 20}
    assert decided(from_file(limits={limit: within}), **about).exit_code == 0
    decision = decided(from_file(limits={limit: over}, on_inconclusive="pass"), **about)
    assert decision.exit_code == 4 and message in decision.reasons[0]
    assert unit(decision, "kept") == UnitOutcome.OVER_LIMIT
    assert decided(from_file(limits={limit: over}, severities={"glue": Severity.WARN}), **about).exit_code == 0
    assert decided(from_file(limits={limit: over}), {"rte": 60}, **about).exit_code == 3


def failing(count: int) -> Results:
    base, other = answers(1000, 800)
    rows = [measured("t", "base", base), measured("t", "c", other[: 1000 - count])]
    errors = tuple(ExampleError(task="t", model="c", example=str(i), reason="deaf") for i in range(count))
    return analyse(measured_run([task("t", failed={"c": count})], rows, errors=errors))


def test_answers_that_failed_end_with_5_unless_the_policy_allows_so_many() -> None:
    for policy, code in (({}, 5), ({"failed": 0.01}, 0), ({"failed": 0.009}, 5), ({"failed": 0.0}, 5)):
        assert judge(failing(10), from_file(limits=policy)).exit_code == code
    (told,) = [line for line in judge(failing(10), from_file(limits={"failed": 0.01})).remarks if "failed" in line]
    assert told.startswith("failed: c on t: 1.0 % of its examples got no answer and are left out")


def test_of_results_that_do_not_record_unfit_answers_a_limit_concludes_nothing() -> None:
    found = failing(0)
    older = replace(found, comparisons=tuple(replace(row, unfit=None) for row in found.comparisons))
    assert judge(older, Policy()).exit_code == 0
    decision = judge(older, from_file(limits={"empty": 0.1}))
    assert decision.exit_code == 5 and "is not recorded, and the policy limits that" in decision.reasons[0]


def test_a_name_that_nothing_has_is_refused_and_one_that_is_not_asked_is_not_missed() -> None:
    for values in ({"ceilings": {"mmlu": 0.1}}, {"severities": {"mmlu": Severity.WARN}}):
        assert decided(from_file(**values)).exit_code == 0  # a group of the shipped task files
        with pytest.raises(UsageError, match="no gate unit 'mmlu' in what is compared"):
            decided(Policy().with_values(values, "option"))
    waiver = Waiver(unit="mmluu", reason="x", expires=TODAY)
    for values in ({"ceilings": {"rtee": 0.1}}, {"severities": {"rtee": Severity.WARN}}, {"waivers": (waiver,)}):
        with pytest.raises(UsageError, match=r"evalharness\.toml: .*no gate unit '(rtee|mmluu)'"):
            decided(from_file(**values))


def test_margins_of_a_policy_judge_what_was_measured_again() -> None:
    run = run_of({**KEPT, "rte": 60})
    assert judge(analyse(run), Policy()).exit_code == 3
    for values in ({"margins": {"rte": 0.1}}, {"margins": {"glue": 0.1}}, {"margin": 0.1}):
        again = at_policy(run, from_file(**values))
        row = next(each for each in analyse(again).comparisons if each.task == "rte")
        assert row.margin == 0.1 and judge(analyse(again), from_file(**values)).exit_code == 0
    with pytest.raises(
        UsageError, match=r"evalharness\.toml: margins\.rtee: no task, group or family 'rtee'; did you me"
    ):
        at_policy(run, from_file(margins={"rtee": 0.1}))
    assert at_policy(run, from_file(margins={"mmlu": 0.1})).plan.margins == {}
    assert at_policy(run, from_file(alpha=0.001)).plan.alpha == 0.001


def test_a_familys_margin_is_for_one_scale() -> None:
    """Of tasks scored from 0 to 1, or of all where they have another scale in common; single names stand over it."""
    bleu = replace(ROUGE, id="bleu", high=100.0)
    facts = [task("t"), task("u"), task("translate", bleu)]
    mixed = at_policy(measured_run(facts, []), from_file(margins={"glue": 0.1, "u": 0.2}))
    assert mixed.plan.margins == {"t": 0.1, "u": 0.2}
    alone = at_policy(measured_run([task("translate", bleu)], []), from_file(margins={"glue": 3.0}))
    assert alone.plan.margins == {"translate": 3.0}
    assert ACC.high == 1.0


def test_the_digest_is_of_what_is_stated() -> None:
    signature = {"alpha": 0.05, "margin": None, "margins": {}}
    plain = Policy().facts(signature)["digest"]
    others = [
        from_file(severity="warn"),
        from_file(limits={"empty": 0.1}),
        from_file(require=["a"]),
        from_file(waivers=(Waiver(unit="a", reason="x", expires=TODAY),)),
        Policy(on_inconclusive=OnInconclusive.PASS),
    ]
    digests = [policy.facts(signature)["digest"] for policy in others]
    assert len({plain, *digests}) == len(others) + 1
    assert from_file(severity="error").facts(signature)["digest"] == plain  # the default, stated
