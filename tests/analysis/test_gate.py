"""Results to an exit code and plain reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalharness.analysis.gate import Decision, judge, worst
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measurements import ExampleError
from evalharness.records.policy import OnInconclusive, Policy
from evalharness.records.results import ModelRow, Results

ROW = Comparison(
    task="boolq", family="superglue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8, low=0.76, high=0.84), candidate_score=Estimate(value=0.8, low=0.76, high=0.84),
    difference=Estimate(value=0.0, low=-0.015, high=0.015), ci_level=0.9, lost=4, gained=4, p_forgotten=0.99,
    p_forgotten_adjusted=1.0, p_retained=0.01, p_difference=1.0, margin=0.02, verdict="retained", available=3270,
)  # fmt: skip
SUITE = replace(ROW, task="demo", level="suite", metric="skill")
LOST: dict[str, Any] = {
    "verdict": "forgotten",
    "difference": Estimate(value=-0.1, low=-0.14, high=-0.06),
    "p_forgotten_adjusted": 0.0004,
    "lost": 35,
    "gained": 5,
}
OPEN: dict[str, Any] = {"verdict": "inconclusive", "p_retained": 0.31, "examples_needed": 1546}


def results(*rows: Comparison, **other: Any) -> Results:
    return Results(signature={}, models=(), comparisons=rows, **other)


def model(name: str, base: str | None) -> ModelRow:
    return ModelRow(
        name=name,
        kind="lora" if base else "base",
        fingerprint="f",
        base=base,
        parameters=10,
        trainable=1,
        trainable_share=0.1,
        bytes=1,
    )


def test_it_passes_when_nothing_is_forgotten_and_the_suite_is_retained():
    assert judge(results(ROW, SUITE), Policy()) == Decision(exit_code=0, reasons=())
    assert (
        judge(results(replace(ROW, **OPEN), SUITE), Policy()).exit_code == 0
    )  # one undecided task does not stop a retained suite


def test_a_forgotten_unit_stops_it_with_one_line_of_numbers():
    decision = judge(results(replace(ROW, **LOST), SUITE), Policy())
    assert decision.exit_code == 3
    assert decision.reasons == (
        "forgotten: lora on boolq: acc -0.100 [-0.140, -0.060], margin 0.02, p 0.0004, 35 lost and 5 gained of 300",
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
    assert (
        decision.reasons[0].startswith("undecided: lora over demo: skill ")
        and "about 1,546 units would decide" in decision.reasons[0]
    )
    assert judge(undecided, Policy(on_inconclusive=OnInconclusive.PASS)) == Decision(exit_code=0, reasons=())
    assert (
        judge(
            results(replace(ROW, **LOST), replace(SUITE, **OPEN)), Policy(on_inconclusive=OnInconclusive.PASS)
        ).exit_code
        == 3
    )


def test_an_incomplete_run_is_incomplete_but_still_names_what_was_forgotten():
    errors = tuple(
        ExampleError(task="boolq", model="lora", example=f"{i}", reason="the engine\ngave up") for i in range(3)
    )
    decision = judge(results(replace(ROW, **LOST), SUITE, errors=errors), Policy(on_inconclusive=OnInconclusive.PASS))
    assert decision.exit_code == 5 and decision.reasons[0].startswith("forgotten: lora on boolq")
    assert decision.reasons[1:] == ("incomplete: 3 × lora on boolq: the engine gave up",)
    assert judge(results(replace(ROW, flags=("incomplete",)), SUITE), Policy()).exit_code == 5
    assert judge(results(ROW, replace(SUITE, flags=("incomplete",))), Policy()).exit_code == 5


def test_it_cannot_fail_open():
    assert judge(results(), Policy(on_inconclusive=OnInconclusive.PASS)).exit_code == 5
    assert judge(results(ROW), Policy(on_inconclusive=OnInconclusive.PASS)).exit_code == 5  # no suite
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
    assert judge(found, Policy()) == Decision(exit_code=0, reasons=())


def test_what_was_not_measured_is_no_zero():
    nothing = {"n": 0, "base": None, "candidate_score": None, "difference": None, "lost": None, "gained": None}
    nothing |= {"p_forgotten": None, "p_forgotten_adjusted": None, "p_retained": None, "p_difference": None}
    open_suite = replace(SUITE, **{**OPEN, **nothing, "examples_needed": None})
    assert "undecided: lora over demo: skill not measured" in judge(results(ROW, open_suite), Policy()).reasons
    (reason,) = judge(results(ROW, replace(SUITE, base=None, candidate_score=None, **OPEN)), Policy()).reasons
    assert "skill +0.000 [-0.015, +0.015]" in reason


def test_the_worst_is_one_that_was_measured():
    lost = replace(ROW, **LOST)
    assert worst([replace(ROW, difference=None), lost, ROW]) is lost
