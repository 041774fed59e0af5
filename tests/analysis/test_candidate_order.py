"""Which candidate comes first, by which rule, and whether its lead is shown."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.analysis.candidate_order import CandidateOrder, Standing, candidate_order
from evalharness.analysis.gate import CandidateDecision, GateOutcome
from evalharness.records.comparison import Estimate
from evalharness.records.results import ModelRow, Results

BY_GAIN = (
    "Order: by decision; those that may ship by their gain on topics, the largest shown first; others by the mean "
    "loss over all other tasks."
)
BY_LOSS = "Order: by decision, then by the mean loss over all other tasks, the smallest first."


def gain(value: float, wide: float = 0.05) -> Estimate:
    return Estimate(value=value, low=value - wide, high=value + wide)


def model(name: str, estimate: Estimate | None, learned: bool | None = True, target: str | None = "topics") -> ModelRow:
    return ModelRow(
        name=name, kind="lora", fingerprint="f", base="base", parameters=1, trainable=1, trainable_share=1.0, bytes=1,
        target_task=target, target_gain=estimate, learned_target=learned,
    )  # fmt: skip


def ranked(*models: ModelRow, outcomes: Sequence[GateOutcome] = ()) -> CandidateOrder:
    """All of them pass unless `outcomes` say otherwise."""
    outcomes = [*outcomes, *[GateOutcome.PASSED] * (len(models) - len(outcomes))]
    decisions = [CandidateDecision(each.name, outcome) for each, outcome in zip(models, outcomes, strict=True)]
    return candidate_order(Results(signature={}, models=models, comparisons=()), decisions)


def names(order: CandidateOrder) -> list[str]:
    return [each.name for each in order.candidates]


def test_those_that_may_ship_stand_by_their_gain_on_the_target_that_they_share() -> None:
    order = ranked(model("less", gain(0.4)), model("more", gain(0.6)))
    assert names(order) == ["more", "less"] and order.rule == BY_GAIN
    assert order.choice == (
        "Of the 2 that may ship, more has the largest shown gain on topics; that it gained more than less is shown "
        "(their 90 % intervals do not overlap)."
    )
    close = ranked(model("less", gain(0.55)), model("more", gain(0.6)))
    assert close.choice.endswith("that it gained more than less is not shown (their 90 % intervals overlap).")
    unknown = ranked(model("less", Estimate(value=0.5)), model("more", gain(0.6)))
    assert unknown.choice.endswith("; whether it gained more than less cannot be told.")


def test_a_shown_gain_stands_before_a_larger_one_that_is_not() -> None:
    order = ranked(model("wide", gain(0.7, 0.9), learned=None), model("shown", gain(0.2)))
    assert names(order) == ["shown", "wide"] and "shown has the largest shown gain on topics; that" in order.choice
    neither = ranked(*(model(name, gain(0.1, 0.9), learned=None) for name in "ab"))
    assert "a has the largest gain, which is not shown to be one, on topics; that" in neither.choice


def test_without_a_common_target_what_was_lost_orders() -> None:
    for others in (model("other", gain(0.9), target="poems"), model("other", None), model("other", None, target=None)):
        assert ranked(model("own", gain(0.1)), others).rule == BY_LOSS


def test_who_learned_nothing_is_no_choice_and_stands_behind_those_that_learned() -> None:
    order = ranked(model("nothing", gain(0.0), learned=False), model("one", gain(0.2)), model("bad", gain(0.9)),
                   outcomes=(GateOutcome.PASSED, GateOutcome.PASSED, GateOutcome.FORGOTTEN))  # fmt: skip
    assert [(each.name, each.standing) for each in order.candidates] == [
        ("one", Standing.SHIPS), ("nothing", Standing.UNLEARNED), ("bad", Standing.FORGOTTEN)
    ]  # fmt: skip
    assert [each.name for each in order.choices] == ["one"] and order.choice == ""


def test_one_candidate_needs_no_rule() -> None:
    assert ranked(model("one", gain(0.2))).rule == "" and ranked().rule == ranked().choice == ""


def test_of_decisions_against_several_bases_the_worst_places_a_candidate() -> None:
    models = (model("a", gain(0.9)), model("b", gain(0.2)))
    decisions = [
        CandidateDecision("a", GateOutcome.PASSED, against="base"), CandidateDecision("b", GateOutcome.PASSED),
        CandidateDecision("a", GateOutcome.FORGOTTEN, against="baseline"), CandidateDecision("b", GateOutcome.PASSED),
    ]  # fmt: skip
    order = candidate_order(Results(signature={}, models=models, comparisons=()), decisions)
    assert names(order) == ["b", "b", "a", "a"] and [each.name for each in order.choices] == ["b"]
    assert [each.decision.against for each in order.candidates[2:]] == ["base", "baseline"]
