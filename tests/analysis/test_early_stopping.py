"""Comparisons of what was asked in rounds: what a stopped row may still say, the suite at its looks, groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evalharness.analysis.comparison import compare
from evalharness.analysis.pairing import unit_order
from evalharness.errors import NotComparableError
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.early_stopping import LOOKS, ROUNDS, alpha_by_look, round_of

ACC = MetricFacts(
    id="acc", name="acc", options={}, kind="binary", low=0.0, high=1.0, higher_is_better=True, signature="acc"
)
ROUGE = MetricFacts(
    id="rougeL", name="rougeL", options={}, kind="graded", low=0.0, high=1.0, higher_is_better=True, signature="rougeL"
)
SEED = 1234


def task(name: str, n: int, *metrics: MetricFacts, rounds: dict[str, int] | None = None) -> TaskFacts:
    metrics = metrics or (ACC,)
    about: dict[str, Any] = {
        "available": n,
        "truncated": 0,
        "failed": {},
        "unparsed": {},
        "data_digest": "d",
        "prompts_digest": "p",
    }
    return TaskFacts(
        name=name,
        family="glue",
        version="1",
        primary=metrics[0].id,
        margin=0.02,
        chance=0.25,
        metrics=metrics,
        planned=n,
        rounds=rounds or {},
        **about,
    )


def measured(
    name: str, n: int, flips: float, difference: float, rounds: int = ROUNDS, metric: str = "acc"
) -> list[Measurement]:
    """Base (asked everything) and candidate (asked `rounds`), right about four in five; drawn by the task's name."""
    rng = np.random.default_rng(list(name.encode()))
    luck, right = rng.random(n), rng.random(n) < 0.8
    lost = (flips - difference) / 2
    base = np.where(luck < lost, 1.0, np.where(luck < flips, 0.0, right))
    other = np.where(luck < lost, 0.0, np.where(luck < flips, 1.0, right))
    units = tuple(f"{i}-{name}" for i in range(n))
    asked = np.flatnonzero(round_of(unit_order(SEED, name, units)) <= rounds)

    def of(model: str, values: np.ndarray, places: np.ndarray) -> Measurement:
        rows = np.column_stack([values[places], np.ones(len(places))])
        return Measurement(
            task=name,
            metric=metric,
            model=model,
            units=tuple(units[i] for i in places),
            sizes=(1,) * len(places),
            rows=rows,
        )

    return [of("base", base, np.arange(n)), of("lora", other, asked)]


def plan(**options: Any) -> ComparePlan:
    return ComparePlan(base="base", candidates=("lora",), until_decided=True, seed=SEED, **options)


def row(rows: tuple[Comparison, ...], name: str, metric: str = "acc") -> Comparison:
    return next(c for c in rows if c.task == name and c.metric == metric)


def test_a_stopped_row_says_what_holds_at_any_round_and_what_describes_has_values_only() -> None:
    facts = [task("t", 800, ACC, ROUGE, rounds={"lora": 4})]
    measurements = [*measured("t", 800, 0.2, -0.2, 4), *measured("t", 800, 0.2, -0.2, 4, "rougeL")]
    results = compare(facts, measurements, plan())
    deciding, describing = row(results, "t"), row(results, "t", "rougeL")
    assert (
        deciding.verdict == "forgotten"
        and deciding.stopping is not None
        and deciding.stopping.rounds == 4
        and deciding.n == deciding.stopping.asked
    )
    assert (deciding.base.low, deciding.candidate_score.low, deciding.p_difference, deciding.would_decide) == (
        None,
        None,
        None,
        None,
    )
    assert (
        deciding.difference.low is not None
        and deciding.difference.high is not None
        and deciding.difference.high < -0.02
    )
    assert (describing.difference.low, describing.p_difference, describing.verdict) == (
        None,
        None,
        None,
    ) and describing.n == deciding.n
    assert describing.flips is not None and describing.flips.forgotten is None
    assert deciding.p_forgotten_adjusted is not None and deciding.p_forgotten is not None
    assert deciding.p_forgotten <= deciding.p_forgotten_adjusted <= 0.05


def test_units_that_a_stopped_model_was_asked_and_did_not_answer_are_missed() -> None:
    facts = [task("t", 400, rounds={"lora": 4})]
    base, lora = measured("t", 400, 0.1, 0.0, 4)
    without = replace(lora, units=lora.units[1:], sizes=lora.sizes[1:], rows=lora.rows[1:])
    with pytest.raises(NotComparableError, match="not asked the same"):
        compare(facts, [base, without], plan())
    known = compare([replace(facts[0], failed={"lora": 1})], [base, without], plan())
    assert "incomplete" in row(known, "t").flags


def test_the_suite_is_decided_at_the_first_look_that_can_and_frozen_there() -> None:
    facts = [task(name, 3000) for name in ("a", "b", "c", "d")]
    measurements = [m for name in "abcd" for m in measured(name, 3000, 0.01, 0.0)]
    suite = row(compare(facts, measurements, plan()), "suite", "margins")
    assert suite.stopping is not None and suite.verdict == "retained" and suite.stopping.rounds == LOOKS[0] == 10
    early = [replace(fact, rounds={"base": suite.stopping.rounds, "lora": suite.stopping.rounds}) for fact in facts]
    stopped = row(compare(early, measurements, plan()), "suite", "margins")
    assert (stopped.verdict, stopped.p_retained, stopped.difference) == (
        suite.verdict,
        suite.p_retained,
        suite.difference,
    )


def test_the_suites_last_look_is_the_usual_test_at_what_is_left_of_alpha() -> None:
    facts = [task(name, 300) for name in ("a", "b")]
    measurements = [m for name in "ab" for m in measured(name, 300, 0.1, -0.01)]
    suite = row(compare(facts, measurements, plan()), "suite", "margins")
    usual = row(compare(facts, measurements, replace(plan(), until_decided=False)), "suite", "margins")
    assert suite.verdict == "inconclusive" and suite.stopping is not None and not suite.stopping.stopped
    assert (
        suite.difference.value == usual.difference.value
        and usual.p_retained is not None
        and suite.p_retained is not None
    )
    assert suite.p_retained <= min(1.0, usual.p_retained * 0.05 / alpha_by_look(0.05)[ROUNDS]) + 0.02


def test_a_suite_of_which_a_unit_was_stopped_undecided_has_no_verdict() -> None:
    facts = [task("a", 400), task("b", 400, rounds={"lora": 3})]
    results = compare(facts, [*measured("a", 400, 0.1, 0.0), *measured("b", 400, 0.3, -0.3, 3)], plan())
    suite = row(results, "suite", "margins")
    assert (
        row(results, "b").verdict == "forgotten"
        and suite.verdict == "inconclusive"
        and "suite_not_tested" in suite.flags
    )
    assert (suite.difference.low, suite.p_difference, suite.would_decide) == (None, None, None)
    assert suite.stopping is not None and suite.stopping.planned == 800


def test_a_group_is_one_unit_whose_members_describe() -> None:
    facts = [task(name, 300, rounds={"lora": 5}) for name in ("m1", "m2")]
    measurements = [m for name in ("m1", "m2") for m in measured(name, 300, 0.3, -0.3, 5)]
    group = Group(name="pool", tasks=("m1", "m2"), metric="acc", unit=True, margin=0.02, family="glue")
    results = compare(facts, measurements, plan(groups=(group,)))
    pool, member = row(results, "pool"), row(results, "m1")
    assert (
        pool.verdict == "forgotten"
        and pool.stopping is not None
        and pool.stopping.planned == 600
        and pool.n == row(results, "m2").n + member.n
    )
    assert (member.verdict, member.q_forgotten, member.difference.low) == (None, None, None)
    macro = compare(facts, measurements, plan(groups=(replace(group, macro=True),)))
    assert row(macro, "pool").stopping.certificate is None and row(macro, "pool").verdict == "inconclusive"  # type: ignore[union-attr]


def test_without_rounds_nothing_is_different() -> None:
    facts, measurements = [task("t", 400)], measured("t", 400, 0.1, -0.02)
    plain = compare(facts, measurements, replace(plan(), until_decided=False))
    assert all(c.stopping is None for c in plain) and not any("stopped_early" in c.flags for c in plain)


def weak(n: int, share: float, chance: float) -> tuple[TaskFacts, list[Measurement]]:
    """A task whose base is right in the same share of every stretch of the lots, just above chance, and whose candidate
    answers alike.
    """
    units = tuple(f"{i}-weak" for i in range(n))
    order = np.argsort(unit_order(SEED, "weak", units))
    values = np.empty(n)
    values[order] = np.diff(np.floor(np.arange(n + 1) * share))
    rows = np.column_stack([values, np.ones(n)])
    return replace(task("weak", n), chance=chance), [
        Measurement(task="weak", metric="acc", model=model, units=units, sizes=(1,) * n, rows=rows)
        for model in ("base", "lora")
    ]


def test_the_first_look_waits_for_no_base_to_rise_above_chance() -> None:
    """Half of 800 answers cannot tell .535 from guessing at .5, all can; the suite holds the unit at every look."""
    of_weak, rows = weak(800, 0.535, 0.5)
    facts = [task(name, 3000) for name in ("a", "b", "c", "d")]
    measurements = [m for name in "abcd" for m in measured(name, 3000, 0.01, 0.0)]
    results = compare([*facts, of_weak], [*measurements, *rows], plan())
    suite = row(results, "suite", "margins")
    assert "base_at_chance" not in row(results, "weak").flags
    half = row(compare([replace(of_weak, rounds={"lora": 10})], rows, plan()), "weak")
    assert "base_at_chance" in half.flags
    assert suite.stopping is not None and suite.verdict == "retained"
    assert suite.stopping.rounds == LOOKS[0] and suite.stopping.planned == 4 * 3000 + 800


def test_guesses_certify_nothing_at_any_look() -> None:
    """A suite of bases a point above guessing: their mean skill is half a margin."""
    of_weak, rows = weak(3000, 0.51, 0.5)
    suite = row(compare([of_weak], rows, plan()), "suite", "margins")
    assert suite.verdict == "inconclusive" and suite.p_retained is not None and suite.p_retained <= 0.05


def test_a_unit_stopped_early_is_judged_by_the_same_rule_as_any() -> None:
    """Falling from guessing to nothing is forgotten, as soon as it is certain; suspect is what its p-value says."""
    of_weak, (base, lora) = weak(1000, 0.25, 0.25)
    asked = round_of(unit_order(SEED, "weak", base.units)) <= 5
    answered = [unit for unit, is_in in zip(base.units, asked, strict=True) if is_in]
    none = replace(lora, units=tuple(answered), sizes=(1,) * len(answered), rows=lora.rows[asked] * [0, 1])
    fallen = row(compare([replace(of_weak, rounds={"lora": 5})], [base, none], plan()), "weak")
    assert fallen.verdict == "forgotten" and {"base_at_chance", "suspect", "stopped_early"} <= set(fallen.flags)


def test_the_level_of_the_difference_is_not_that_of_the_scores() -> None:
    """What the base can do is told as in any run; only the difference shares its error."""
    facts, measurements = [task("t", 400)], measured("t", 400, 0.1, -0.02)
    here, plain = (
        row(compare(facts, measurements, plan()), "t"),
        row(compare(facts, measurements, replace(plan(), until_decided=False)), "t"),
    )
    assert (
        here.base == plain.base
        and here.candidate_score == plain.candidate_score
        and here.difference != plain.difference
    )


def test_results_that_do_not_say_how_many_were_planned_have_no_certificate() -> None:
    stopping = row(compare([replace(task("t", 400), planned=0)], measured("t", 400, 0.1, 0.0), plan()), "t").stopping
    assert stopping is not None and stopping.certificate is None
