"""Results to an exit code and plain reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from measured_runs import both, plan, task

from evalharness.analysis.comparison import compare
from evalharness.analysis.gate import judge, judge_alone, worst
from evalharness.errors import UsageError
from evalharness.records.comparison import Comparison, Estimate, Flag, WouldDecide
from evalharness.records.measurements import ExampleError, Measurement
from evalharness.records.models import NO_TARGET
from evalharness.records.policy import OnInconclusive, Policy
from evalharness.records.results import ModelRow, Results
from evalharness.records.tasks import Variant

ROW = Comparison(
    task="boolq", family="superglue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8, low=0.76, high=0.84), candidate_score=Estimate(value=0.8, low=0.76, high=0.84),
    difference=Estimate(value=0.0, low=-0.015, high=0.015), ci_level=0.9, lost=4, gained=4, p_forgotten=0.99,
    p_forgotten_adjusted=1.0, p_retained=0.01, p_difference=1.0, margin=0.02, verdict="retained", available=3270,
    points=True, span=1.0,
)  # fmt: skip
SUITE = replace(
    ROW, task="demo", level="suite", metric="margins", margin=1.0, difference=Estimate(value=0.0, low=-0.4, high=0.4),
    base=None, candidate_score=None, points=False, span=None,
)  # fmt: skip
LOST: dict[str, Any] = {
    "verdict": "forgotten",
    "difference": Estimate(value=-0.1, low=-0.14, high=-0.06),
    "p_forgotten_adjusted": 0.0004,
    "lost": 35,
    "gained": 5,
}
DECIDES = WouldDecide(verdict="retained", assumption="nothing_lost", examples=1546, power=0.8, there=True)
OPEN: dict[str, Any] = {"verdict": "inconclusive", "p_retained": 0.31, "would_decide": DECIDES}
SUSPECT: dict[str, Any] = {**OPEN, "flags": (Flag.SUSPECT,), "p_forgotten": 0.004}
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("base", "candidate_score", "difference", "lost", "gained", "p_forgotten", "p_difference")),
    "n": 0, "p_forgotten_adjusted": None, "p_retained": None, "verdict": "inconclusive",
}  # fmt: skip
LET_PASS = Policy(on_inconclusive=OnInconclusive.PASS)


def results(*rows: Comparison, **other: Any) -> Results:
    return Results(signature={}, models=(), comparisons=rows, **other)


def model(name: str, base: str | None, target: str | None = None) -> ModelRow:
    return ModelRow(
        name=name,
        target_task=target,
        kind="lora" if base else "base",
        fingerprint="f",
        base=base,
        parameters=10,
        trainable=1,
        trainable_share=0.1,
        bytes=1,
    )


def test_it_passes_when_nothing_is_forgotten_and_the_suite_is_retained():
    decision = judge(results(ROW, SUITE), Policy())
    assert (decision.exit_code, decision.reasons) == (0, ())
    # one undecided task does not stop a retained suite
    assert judge(results(replace(ROW, **OPEN), SUITE), Policy()).exit_code == 0


def test_a_pass_says_what_it_does_not_exclude():
    """The largest losses still possible, in the unit of each metric and by margins; how many were tried."""
    low = {"rte": -0.041, "cola": -0.019, "copa": 0.001, "sst2": -0.002}
    rows = [replace(ROW, task=name, difference=Estimate(value=0.01, low=at, high=0.1)) for name, at in low.items()]
    bleu = replace(
        ROW,
        task="wmt",
        metric="bleu",
        margin=1.0,
        points=False,
        difference=Estimate(value=0.0, low=-1.2, high=1),
        span=100.0,
    )
    passed, tried = judge(results(*rows, bleu, SUITE), Policy()).remarks
    assert passed == (
        "passed: lora: the largest losses not excluded: 4.1 points on rte; 1.2 bleu on wmt; 1.9 points on cola, "
        "each at 95 %"
    )
    chance = "where nothing is lost, chance alone makes at most 0.25 gate units suspect"
    assert tried == f"1 candidate was tried; {chance}; 0 of 5 are"
    other = [replace(row, candidate="full") for row in (*rows, bleu, SUITE)]
    *passed_each, tried = judge(results(*rows, bleu, SUITE, *other), Policy()).remarks
    assert [line.split(":")[1] for line in passed_each] == [" lora", " full"]
    assert tried == f"2 candidates were tried; {chance} of each (0.5 of all); 0 of 10 are"


def test_a_pass_names_units_without_a_bound():
    unbounded = replace(ROW, task="odd", difference=Estimate(value=0.0))
    assert "any on odd, where no bound is known" in judge(results(ROW, unbounded, SUITE), Policy()).remarks[0]
    gained = replace(ROW, difference=Estimate(value=0.1, low=0.05, high=0.2))
    assert judge(results(gained, SUITE), Policy()).remarks[0].endswith("not excluded: none")


def test_a_suspect_unit_does_not_pass():
    decision = judge(results(ROW, replace(ROW, task="rte", **SUSPECT), SUITE), Policy())
    assert decision.exit_code == 4
    says = "p 0.0040: alone it would count as forgotten"
    assert decision.reasons == (f"suspect: lora on rte: acc 0.000 [−0.015, +0.015], margin 0.02, {says}",)
    # a forgotten unit is suspect, too, and named once
    lost = replace(ROW, **LOST, flags=(Flag.SUSPECT,))
    assert [line.split(":")[0] for line in judge(results(lost, SUITE), Policy()).reasons] == ["forgotten"]
    part = replace(ROW, task="part", unit=False, **SUSPECT)
    assert judge(results(ROW, part, SUITE), Policy()).exit_code == 0


BLEU = replace(
    ROW, task="wmt", metric="bleu", margin=1.0, points=False, span=100.0,
    difference=Estimate(value=0.0, low=-1.2, high=1),
)  # fmt: skip


def test_a_ceiling_stops_what_may_have_lost_more():
    """It is held against the lower bound, not the difference; of units scored from 0 to 1, or of one by name."""
    found = results(ROW, BLEU, SUITE)
    assert judge(found, Policy(ceiling=0.015, ceilings={"wmt": 1.2})).exit_code == 0
    decision = judge(found, Policy(ceiling=0.014, ceilings={"wmt": 1.2}))
    assert decision.exit_code == 4
    assert decision.reasons == (
        "ceiling: lora on boolq: a loss of 1.5 points is not excluded, the ceiling is 1.4 points",
    )
    assert judge(found, Policy(ceiling=0.014, ceilings={"boolq": 0.02, "wmt": 1.2})).exit_code == 0
    (reason,) = judge(found, Policy(ceilings={"wmt": 1.0})).reasons
    assert reason == "ceiling: lora on wmt: a loss of 1.2 bleu is not excluded, the ceiling is 1 bleu"
    unbounded = replace(ROW, difference=Estimate(value=0.5))
    assert judge(results(unbounded, SUITE), Policy(ceiling=0.99)).exit_code == 4
    assert judge(results(unbounded, SUITE), Policy()).exit_code == 0
    for name in ("bolq", "demo"):
        with pytest.raises(UsageError, match=f"no gate unit '{name}'.*boolq"):
            judge(found, Policy(ceilings={name: 0.1}))
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="no loss; a number of at least 0"):
            Policy(ceiling=wrong)


def test_a_ceiling_of_all_leaves_no_unit_out_in_silence():
    """It holds on a range of 0 to 1 whichever end is better; a unit of another range needs its own."""
    errors = replace(ROW, task="rate", metric="cer", points=False)
    (reason,) = judge(results(errors, SUITE), Policy(ceiling=0.014)).reasons
    assert reason == "ceiling: lora on rate: a loss of 0.015 cer is not excluded, the ceiling is 0.014 cer"
    decision = judge(results(ROW, BLEU, SUITE), Policy(ceiling=0.02))
    assert decision.exit_code == 4
    assert decision.reasons == (
        "ceiling: lora: no ceiling for wmt (bleu): give --ceiling wmt=… (it can lose up to 100)",
    )
    assert judge(results(ROW, BLEU, SUITE), Policy(ceilings={"boolq": 0.02})).exit_code == 0


def test_of_a_metric_without_a_range_no_loss_is_excluded():
    """Whatever its interval says: no ceiling is met, and a pass promises no bound."""
    perplexity = replace(ROW, task="lm", metric="ppl", points=False, span=None, flags=(Flag.NO_RANGE,))
    found = results(ROW, perplexity, SUITE)
    assert "any on lm, where no bound is known" in judge(found, Policy()).remarks[0]
    says = "ceiling: lora on lm: no loss is excluded, because ppl states no finite range"
    assert judge(found, Policy(ceiling=0.5)).reasons == (says,)
    assert judge(found, Policy(ceilings={"lm": 9.0})).reasons == (f"{says}, the ceiling is 9 ppl",)


def test_a_ceiling_of_all_that_can_be_lost_is_refused():
    found = results(ROW, BLEU, SUITE)
    for policy in (Policy(ceiling=5.0), Policy(ceiling=1.0), Policy(ceilings={"boolq": 5.0})):
        with pytest.raises(UsageError, match=r"ceiling of boolq: .*points are fractions here: 0\.05 is five points"):
            judge(found, policy)
    with pytest.raises(UsageError, match="ceiling of wmt: 100, but no loss can be larger than 100"):
        judge(found, Policy(ceilings={"wmt": 100.0}))


def test_a_pass_says_where_no_answer_changed():
    same = replace(ROW, lost=0, gained=0)
    scored = replace(BLEU, lost=None, gained=None)
    assert judge(results(same, scored, SUITE), Policy()).remarks[0].startswith("passed: lora: no answer changed; the l")
    moved = replace(scored, difference=Estimate(value=0.1, low=-1, high=1))
    for units in ((same, moved), (ROW, same)):
        assert "no answer changed" not in judge(results(*units, SUITE), Policy()).remarks[0]


def test_of_many_units_chance_makes_no_more_suspect():
    many = [replace(ROW, task=f"t{i}") for i in range(40)]
    for units, most in ((many[:1], "0.05"), (many[:10], "0.5"), (many, "0.75")):
        assert f"at most {most} gate units suspect; 0 of" in judge(results(*units, SUITE), Policy()).remarks[-1]


def test_a_unit_in_another_wording_has_the_ceiling_of_its_task():
    worded = Variant(of="boolq", way="plain", kind="wording", metric="acc", beside=False)
    row = replace(ROW, task="boolq@plain", variant=worded)
    assert judge(results(row, SUITE), Policy(ceilings={"boolq": 0.01})).exit_code == 4
    assert judge(results(row, SUITE), Policy(ceilings={"boolq@plain": 0.02})).exit_code == 0


def test_a_forgotten_unit_stops_it_with_one_line_of_numbers():
    decision = judge(results(replace(ROW, **LOST), SUITE), Policy())
    assert decision.exit_code == 3
    assert decision.reasons == (
        "forgotten: lora on boolq: acc −0.100 [−0.140, −0.060], margin 0.02, p 0.0004, 35 lost and 5 gained of 300",
    )


def test_any_candidate_and_the_suite_can_stop_it():
    assert judge(results(ROW, replace(SUITE, **LOST)), Policy()).exit_code == 3
    other = [replace(row, candidate="full") for row in (replace(ROW, **LOST), SUITE)]
    assert judge(results(ROW, SUITE, *other), Policy()).exit_code == 3


def test_rows_that_are_no_gate_units_do_not_stop_it():
    assert judge(results(replace(ROW, unit=False, **LOST), SUITE), Policy()).exit_code == 0


def test_an_undecided_suite_follows_the_policy():
    undecided = results(ROW, replace(SUITE, **OPEN))
    decision = judge(undecided, Policy())
    assert decision.exit_code == 4 and len(decision.reasons) == 1
    assert decision.reasons[0].startswith("undecided: lora over demo: margins 0.000 [−0.400, +0.400], margin 1, p_ret")
    assert "about 1,546 examples over all gate units would show “retained”" in decision.reasons[0]
    let_pass = judge(undecided, LET_PASS)
    assert (let_pass.exit_code, let_pass.reasons) == (0, ())
    assert let_pass.remarks[0] == f"{decision.reasons[0]} (passes all the same: --on-inconclusive pass)"
    lost = results(replace(ROW, **LOST), replace(SUITE, **OPEN))
    assert judge(lost, LET_PASS).exit_code == 3
    suspect = results(replace(ROW, **SUSPECT), SUITE)
    assert judge(suspect, LET_PASS).exit_code == 0 and "suspect: lora" in judge(suspect, LET_PASS).remarks[0]


def test_why_a_suite_is_undecided_is_said():
    """Nothing retained; a suite that cannot be retained, because hardly any unit has skill; too few examples."""
    open_units = [replace(ROW, task=name, **OPEN) for name in ("rte", "copa")]
    (reason,) = judge(results(*open_units, replace(SUITE, **OPEN)), Policy()).reasons
    assert "none of its 2 gate units is retained" in reason
    veto = {**OPEN, "would_decide": None, "flags": (Flag.MARGIN_EXCEEDS_SKILL,)}
    (reason,) = judge(results(ROW, replace(SUITE, **veto)), Policy()).reasons
    says = "in its units' mean the base is less than 5 margins above chance"
    assert reason.endswith(f"no number of examples would show “retained”: {says}")
    (reason,) = judge(results(ROW, replace(SUITE, n=9, **OPEN)), Policy()).reasons
    assert "fewer than 10 examples decide nothing" in reason


def test_each_candidate_is_decided_alone_and_the_worst_decides():
    full = [replace(row, candidate="full") for row in (replace(ROW, **LOST), SUITE)]
    prompt = [replace(row, candidate="prompt") for row in (ROW, replace(SUITE, **OPEN))]
    found = results(ROW, SUITE, *full, *prompt)
    codes = [(decision.name, decision.exit_code) for decision in judge(found, Policy()).candidates]
    assert codes == [("lora", 0), ("full", 3), ("prompt", 4)]
    assert judge(found, Policy()).exit_code == 3
    assert [judge_alone(found, name, Policy()).exit_code for name, _ in codes] == [0, 3, 4]
    error = ExampleError(task="boolq", model="prompt", example="3", reason="gave up")
    failed = judge(replace(found, errors=(error,)), Policy())
    assert failed.exit_code == 5 and [each.exit_code for each in failed.candidates] == [0, 3, 5]
    of_base = judge(replace(found, errors=(replace(error, model="base"),)), Policy())
    assert {each.exit_code for each in of_base.candidates} == {5}
    assert sum(line.startswith("incomplete") for line in of_base.reasons) == 1


def test_an_incomplete_run_is_incomplete_but_still_names_what_was_forgotten():
    errors = tuple(
        ExampleError(task="boolq", model="lora", example=f"{i}", reason="the engine\ngave up") for i in range(3)
    )
    decision = judge(results(replace(ROW, **LOST), SUITE, errors=errors), LET_PASS)
    assert decision.exit_code == 5 and decision.reasons[0].startswith("forgotten: lora on boolq")
    assert decision.reasons[1:] == ("incomplete: 3 × lora on boolq: the engine gave up",)
    assert judge(results(replace(ROW, flags=("incomplete",)), SUITE), Policy()).exit_code == 5
    assert judge(results(ROW, replace(SUITE, flags=("incomplete",))), Policy()).exit_code == 5


def test_it_cannot_fail_open():
    assert judge(results(), LET_PASS).exit_code == 5
    assert judge(results(ROW), LET_PASS).exit_code == 5  # no suite
    assert (
        judge(
            replace(results(ROW, SUITE), models=(model("base", None), model("lora", "base"), model("full", "base"))),
            Policy(),
        ).exit_code
        == 5
    )
    assert (
        judge(replace(results(ROW, SUITE), models=(model("base", None), model("lora", "base"))), Policy()).exit_code
        == 0
    )
    assert judge(results(ROW, replace(SUITE, verdict=None)), Policy()).exit_code == 4


@pytest.mark.parametrize("hostile", ["a\n::error::b", "a\x1b[31mb", "a\r\nb"])
def test_reasons_are_single_printable_lines(hostile: str):
    reasons = judge(results(replace(ROW, candidate=hostile, **LOST), SUITE), Policy()).reasons
    assert all(reason.isprintable() and not reason.startswith("::") for reason in reasons)


def test_references_decide_nothing():
    """Neither a placebo's loss nor what failed of it stops a candidate, nor does it lack a verdict over the suite."""
    beside = replace(model("placebo", "base"), kind="placebo")
    lost = replace(ROW, candidate="placebo", unit=False, verdict=None, flags=("drop_detected", "incomplete"))
    error = ExampleError(task="boolq", model="placebo", example="3", reason="gave up")
    found = replace(
        results(ROW, SUITE, lost, errors=(error,)), models=(model("base", None), model("lora", "base"), beside)
    )
    assert judge(found, Policy()).exit_code == 0 and judge(found, Policy()).reasons == ()


def test_where_nothing_was_measured_nothing_is_concluded():
    """A suite or a gate unit without a single example is 5, whatever the policy; what was forgotten is named."""
    no_suite = results(ROW, replace(SUITE, **NOTHING))
    for policy in (Policy(), LET_PASS):
        assert judge(no_suite, policy).exit_code == 5
        assert judge(no_suite, policy).reasons == ("incomplete: nothing was measured of lora over demo",)
    no_unit = results(ROW, replace(ROW, task="rte", **NOTHING), SUITE)
    assert judge(no_unit, LET_PASS).exit_code == 5
    assert judge(no_unit, LET_PASS).reasons == ("incomplete: nothing was measured of lora on rte",)
    both = judge(results(replace(ROW, **LOST), replace(ROW, task="rte", **NOTHING), SUITE), Policy())
    assert both.exit_code == 5 and both.reasons[0].startswith("forgotten: lora on boolq")


def test_a_suite_of_nothing_but_the_target_says_so():
    models = (model("base", None), model("lora", "base", target="boolq"))
    found = replace(results(ROW, replace(SUITE, **NOTHING)), models=models)
    (reason,) = judge(found, Policy()).reasons
    assert reason.endswith("over demo: boolq is its target, and the suite leaves that out")


def test_the_worst_is_one_that_was_measured():
    lost = replace(ROW, **LOST)
    assert worst([replace(ROW, difference=None), lost, ROW]) is lost


def test_a_candidate_whose_target_nobody_states_is_at_best_undecided():
    """A training.json that is missing: what was learned may stand in the suite, one margin of it, and let it pass."""
    facts = [task("sst2", chance=0.5, margin=0.02), task("topics", chance=0.25, margin=0.02)]
    learned = [*both("sst2", 1000, 900, lost=20, gained=5), *both("topics", 1000, 400, lost=5, gained=500)]
    same = [*both("sst2", 1000, 900), *both("topics", 1000, 800)]

    def decided(measurements: Sequence[Measurement], policy: Policy | None = None, **targets: str):
        rows = compare(facts, measurements, plan(targets=targets))
        return judge(results(*rows), policy or Policy())

    unknown = decided(learned)
    assert unknown.exit_code == 4 and decided(learned, lora="topics").exit_code == 4
    (said,) = unknown.reasons
    assert said.startswith("target unknown: lora: what it was trained for is not said, so that its gain on topics (acc")
    assert said.endswith(
        "or compare with --target topics, or --target none where it was trained for none of these tasks"
    )
    assert decided(learned, lora=NO_TARGET).exit_code == 0  # it is the user's word
    assert decided(same).exit_code == 4 and decided(same, lora=NO_TARGET).exit_code == 0
    assert "so that a gain there may stand in the suite" in decided(same).reasons[0]
    allowed = decided(same, Policy(on_inconclusive="pass"))
    assert allowed.exit_code == 0 and any(line.startswith("target unknown: ") for line in allowed.remarks)
    assert decided(same, Policy().with_values({"severity": "warn"}, "file")).exit_code == 0
    forgotten = [*both("sst2", 1000, 900, lost=200), *both("topics", 1000, 800)]
    assert decided(forgotten).exit_code == 3
    few = decided([*both("sst2", 20, 18), *both("topics", 20, 16)]).candidates[0]
    assert few.units[0].reason == "; ".join(few.reasons) and len(few.reasons) == 2  # JUnit has both


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (Flag.DECODED_DIFFERENTLY, "lora was decoded by other rules than the base in boolq"),
        (Flag.PROMPTS_DIFFER, "lora was asked in other prompts than the base in boolq"),
    ],
)
def test_what_was_not_asked_alike_is_said_whatever_the_outcome(flag: Flag, words: str) -> None:
    for changes in ({}, OPEN, LOST):
        decision = judge(results(replace(ROW, flags=(flag,), **changes), SUITE), Policy())
        assert words in decision.remarks
    assert not any("than the base" in remark for remark in judge(results(ROW, SUITE), Policy()).remarks)
