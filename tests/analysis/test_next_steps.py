"""What to do next with a candidate, for every decision of the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalharness.analysis.gate import judge_alone
from evalharness.analysis.next_steps import next_step
from evalharness.records.answers import UnfitShares
from evalharness.records.comparison import Comparison, Estimate, Flag, WouldDecide
from evalharness.records.diagnosis import Diagnosis, WrittenFlips
from evalharness.records.measurements import ExampleError
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results

ROW = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.8),
    difference=Estimate(value=0.0, low=-0.015, high=0.01),
    ci_level=0.9, margin=0.02, verdict="retained", available=300, points=True, span=1.0,
)  # fmt: skip
SUITE = replace(
    ROW, task="demo", level="suite", metric="margins", margin=1.0, difference=Estimate(value=0.1, low=-0.4, high=0.4),
    points=False, span=None, n=600, available=600,
)  # fmt: skip
OPEN = replace(ROW, verdict="inconclusive", difference=Estimate(value=0.0, low=-0.04, high=0.04))
LOST = replace(ROW, verdict="forgotten", difference=Estimate(value=-0.1, low=-0.14, high=-0.06))
MODEL = ModelRow(
    name="lora", kind="lora", fingerprint="f", base="base", parameters=1, trainable=1, trainable_share=1.0, bytes=1,
    target_task="topics", target_gain=Estimate(value=0.5, low=0.4, high=0.6), learned_target=True,
    training={"learning_rate": 2e-4},
)  # fmt: skip
ENOUGH = WouldDecide(verdict="retained", assumption="nothing_lost", examples=4000, power=0.8, there=False)


def step(*rows: Comparison, model: ModelRow = MODEL, policy: Policy | None = None, **other: object) -> str:
    results = Results(signature={}, models=(model,), comparisons=rows, **other)  # type: ignore[arg-type]
    return next_step(results, judge_alone(results, "lora", policy or Policy()))


def test_a_pass_ships() -> None:
    assert step(SUITE, ROW) == "Ship it."
    assert step(SUITE, ROW, model=replace(MODEL, learned_target=False)) == (
        "Train longer, or at a larger rate than 0.0002: it has not learned topics."
    )


def test_a_pass_that_excludes_little_asks_for_more_examples() -> None:
    all_asked, some = OPEN, replace(OPEN, task="sst2", n=100, available=872)
    assert step(SUITE, all_asked) == "Ship it. To be surer of rte, ask more than its 300 examples."
    worse = replace(some, difference=Estimate(value=-0.02, low=-0.09, high=0.05))
    assert step(SUITE, all_asked, worse) == ("Ship it. To be surer of sst2, ask all its 872 examples (100 were asked).")
    never = replace(OPEN, flags=(Flag.BASE_AT_CHANCE,))
    assert step(SUITE, never) == "Ship it."


def test_what_was_forgotten_is_replayed_or_trained_at_a_smaller_rate() -> None:
    two = (LOST, replace(LOST, task="cola", difference=Estimate(value=-0.3, low=-0.4, high=-0.2)))
    back = " Or evalharness repair."
    rate = f"or at a smaller rate than 0.0002.{back}"
    assert step(SUITE, LOST) == f"Train again with examples of rte (--replay), {rate}"
    assert step(SUITE, *two) == f"Train again with examples of cola and rte (--replay), {rate}"
    four = [replace(LOST, task=f"t{i}") for i in range(4)]
    assert step(SUITE, *four) == f"Train again with examples of the tasks it lost (--replay), {rate}"
    replayed = replace(MODEL, training={"replay": {"rte": 0.1}})
    assert step(SUITE, LOST, model=replayed) == (
        f"Train again with more examples of rte (--replay), or at a smaller rate.{back}"
    )
    for no_way in ({"kind": "prompt"}, {"learned_target": False}, {"training": {"method": "merge"}}):
        assert back not in step(SUITE, LOST, model=replace(MODEL, **no_way))  # type: ignore[arg-type]
    over_all = replace(SUITE, verdict="forgotten")
    assert step(over_all, ROW).startswith("Train again with examples of the tasks it lost")


def test_a_lost_format_is_said_to_be_that() -> None:
    nothing = Estimate(value=0.0)
    flips = WrittenFlips(
        answers=1, lost_unreadable=1, lost_wrong=0, gained_unreadable=0, gained_wrong=0, unreadable=nothing,
        wrong=nothing, balance=nothing,
    )  # fmt: skip
    form = Diagnosis(
        task="rte", level="task", candidate="lora", twin="rte@written", n=1, ci_level=0.9, conclusion="format",
        says="", measures=(), flips=flips,
    )  # fmt: skip
    says = "It seems to have lost the form of answers, not what it knows."
    assert step(SUITE, LOST, diagnoses=(form,)).endswith(says)
    assert says not in step(SUITE, LOST, replace(LOST, task="cola"), diagnoses=(form,))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"would_decide": ENOUGH},
            "About 4,000 examples of all tasks together would decide, and there are 600: add tasks, or allow a larger "
            "loss before the run (--margin).",
        ),
        (
            {"would_decide": replace(ENOUGH, examples=500, there=True), "n": 200},
            "Ask about 500 examples of all tasks together: 200 were asked, 600 are there.",
        ),
        (
            {"would_decide": replace(ENOUGH, examples=None)},
            "Take a larger set: of all tasks together no number of examples within reach would decide it at this "
            "margin.",
        ),
        (
            {"flags": (Flag.SUITE_NOT_TESTED,)},
            "Run it again without --until-decided, so that all tasks are asked to their end.",
        ),
        ({}, "Ask more examples of all tasks together."),
    ],
)
def test_an_undecided_suite_asks_for_what_would_decide_it(changes: dict[str, object], says: str) -> None:
    assert step(replace(SUITE, verdict="inconclusive", **changes), OPEN) == says  # type: ignore[arg-type]


def test_no_number_of_examples_is_proposed_where_none_would_help() -> None:
    suite = replace(SUITE, verdict="inconclusive", flags=(Flag.BASE_AT_CHANCE,))
    assert step(suite, OPEN).startswith("Take tasks that the base does better: no number of examples would show")


def test_a_suspect_is_read_and_asked_again() -> None:
    suspect = replace(OPEN, flags=(Flag.SUSPECT,), would_decide=replace(ENOUGH, examples=900), available=3000)
    assert step(SUITE, replace(suspect, would_decide=replace(ENOUGH, examples=900, there=True))) == (
        "Read what changed on rte; then ask about 900 examples of rte: 300 were asked, 3,000 are there."
    )


def test_a_ceiling_that_is_not_met() -> None:
    assert step(SUITE, ROW, policy=Policy(ceiling=0.001)) == (
        "To exclude a loss on rte, ask more than its 300 examples, or allow a larger one (--ceiling)."
    )


def test_what_is_incomplete_is_run_again() -> None:
    broken = ExampleError(task="rte", model="lora", example="1", reason="out of memory")
    again = "Give the same command again: what was answered is kept, what failed is asked again."
    assert step(SUITE, ROW, errors=(broken,)) == again
    nothing = {"n": 0, "difference": None, "verdict": "inconclusive"}
    own = replace(ROW, task="topics")
    assert step(replace(SUITE, **nothing), own) == "Add tasks other than the one that it was trained for."
    assert step(ROW) == "Give the same command again."
    assert step(SUITE, ROW, policy=Policy(require=("wsc",))) == "Run it again with all that the policy asks for."


def test_unfit_answers_are_read() -> None:
    unfit = replace(ROW, unfit=UnfitShares(truncated=0.0, unparsed=0.3, empty=0.0, failed=0.0))
    assert step(SUITE, unfit, policy=Policy(limits={"unparsed": 0.1})) == (
        "Read the answers to rte: more are empty, cut off or unreadable than the policy allows."
    )
