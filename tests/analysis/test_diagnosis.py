"""The rule on its own, and where written answers went: against pairs counted one by one, and Tango's interval of those
counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured_runs import measured_run
from scipy.optimize import brentq
from scipy.stats import norm

from evalharness.analysis.comparison import compare
from evalharness.analysis.diagnosis import diagnose
from evalharness.analysis.diagnosis_rule import ALIKE, ALONE, CHANCE, KEPT, LESS, MORE, OTHERWISE, Reading, conclude
from evalharness.records.answers import AnswerCounts
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.diagnosis import Diagnosis, WrittenFlips
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.tasks import Group, Variant, VariantKind
from evalharness.tasks.variants import LENIENT, STRICT, UNPARSED

FELL, KEEPS, LITTLE = (
    Estimate(value=-0.4, low=-0.5, high=-0.3),
    Estimate(value=0.0, low=-0.02, high=0.02),
    Estimate(value=-0.05, low=-0.08, high=-0.02),
)
VAGUE = Estimate(value=-0.1, low=-0.4, high=0.2)
RIGHT, WRONG, UNREAD = "right", "wrong", "unread"
FATES = (RIGHT, WRONG, UNREAD)
Outcomes = Sequence[Sequence[str]]  # a unit's answers


def row(difference: Estimate, verdict: str | None = None, flags: tuple[str, ...] = ()) -> Comparison:
    estimates = {key: Estimate(value=0.5) for key in ("base", "candidate_score")}
    named = {
        "task": "t",
        "family": "f",
        "level": "task",
        "unit": True,
        "metric": "acc",
        "primary": True,
        "candidate": "c",
    }
    return Comparison(
        **named, **estimates, n=100, difference=difference, ci_level=0.9, verdict=verdict, flags=flags, available=100
    )


@pytest.mark.parametrize(
    ("choosing", "written", "strict", "parts", "expected"),
    [
        (FELL, FELL, FELL, (KEEPS, FELL, VAGUE), Reading("knowledge")),
        (FELL, FELL, FELL, (LITTLE, FELL, VAGUE), Reading("both")),
        (LITTLE, FELL, FELL, (FELL, KEEPS, FELL), Reading("both", MORE)),
        (FELL, FELL, FELL, (FELL, KEEPS, FELL), Reading("both")),
        (FELL, KEEPS, FELL, (KEEPS, KEEPS, KEEPS), Reading("unclear", KEPT)),
        (FELL, LITTLE, FELL, (LITTLE, KEEPS, LITTLE), Reading("unclear", LESS)),
        (KEEPS, FELL, FELL, (FELL, KEEPS, FELL), Reading("format")),
        (KEEPS, FELL, FELL, (LITTLE, FELL, VAGUE), Reading("unclear", OTHERWISE)),
        (KEEPS, FELL, FELL, (KEEPS, FELL, VAGUE), Reading("unclear", OTHERWISE)),
        (VAGUE, FELL, FELL, (FELL, KEEPS, FELL), Reading("unclear", ALIKE)),  # choosing may have fallen as much
        (KEEPS, KEEPS, FELL, (KEEPS, KEEPS, KEEPS), Reading("format", ALONE)),
        (VAGUE, KEEPS, FELL, (KEEPS, KEEPS, KEEPS), Reading("unclear", ALIKE)),
        (
            Estimate(value=0.0),
            FELL,
            FELL,
            (FELL, KEEPS, FELL),
            Reading("unclear", ALIKE),
        ),  # without an interval nothing is shown
    ],
)
def test_the_rule(
    choosing: Estimate, written: Estimate, strict: Estimate, parts: tuple[Estimate, ...], expected: Reading
) -> None:
    choice, flips = (
        row(choosing, "inconclusive"),
        WrittenFlips(
            answers=100,
            lost_unreadable=1,
            lost_wrong=1,
            gained_unreadable=0,
            gained_wrong=0,
            unreadable=parts[0],
            wrong=parts[1],
            balance=parts[2],
        ),
    )
    assert conclude(choice, choice, (row(written), row(strict)), flips) == expected
    same = AnswerCounts(answers=100, most_common="B", most_common_count=98, most_common_right=50)
    constant = replace(choice, candidate_answers=same)  # whatever else is seen
    assert conclude(constant, choice, (row(written), row(strict)), flips) == Reading("constant", "“B” in 98 %")
    alike = replace(constant, base_answers=same)  # the base did so before
    assert conclude(alike, choice, (row(written), row(strict)), flips) == expected
    at_chance = replace(choice, flags=("base_at_chance",))
    assert conclude(at_chance, choice, (row(written), row(strict)), flips) == Reading("unclear", CHANCE)


def test_forgotten_counts_as_lost_whatever_the_interval_and_accuracy_is_set_against_writing() -> None:
    flips = WrittenFlips(
        answers=100,
        lost_unreadable=1,
        lost_wrong=1,
        gained_unreadable=0,
        gained_wrong=0,
        unreadable=KEEPS,
        wrong=FELL,
        balance=VAGUE,
    )
    forgotten, kept = row(KEEPS, "forgotten"), row(KEEPS, "retained")
    assert conclude(forgotten, row(FELL), (row(FELL), row(FELL)), flips) == Reading("knowledge")
    gone = replace(flips, unreadable=FELL, wrong=KEEPS, balance=FELL)
    assert conclude(kept, row(VAGUE), (row(FELL), row(FELL)), gone) == Reading("unclear", ALIKE)


# ---- where written answers went --------------------------------------------------------------------------------------


def facts(name: str, primary: str, *ids: str) -> TaskFacts:
    metrics = tuple(
        MetricFacts(
            id=id_,
            name=id_.split(",")[0],
            options={},
            kind="binary",
            low=0.0,
            high=1.0,
            higher_is_better=id_ != UNPARSED,
            signature="v:1",
        )
        for id_ in ids
    )
    return TaskFacts(
        name=name,
        family="f",
        version="1",
        primary=primary,
        margin=0.02,
        chance=0.1,
        available=100,
        truncated=0,
        failed={},
        unparsed={},
        data_digest="d",
        prompts_digest="p",
        metrics=metrics,
    )


def measured(task: str, model: str, outcomes: Outcomes) -> list[Measurement]:
    units, sizes = tuple(str(i) for i in range(len(outcomes))), tuple(len(unit) for unit in outcomes)

    def of(metric: str, fate: str) -> Measurement:
        return Measurement(
            task=task,
            metric=metric,
            model=model,
            units=units,
            sizes=sizes,
            rows=np.array([[unit.count(fate), len(unit)] for unit in outcomes], dtype=float),
        )

    return [of(LENIENT, RIGHT), of(STRICT, RIGHT), of(UNPARSED, UNREAD)]


def twin_of(name: str) -> Variant:
    return Variant(of=name, way="written", kind=VariantKind.WRITTEN, metric=LENIENT)


def diagnosed(tasks: dict[str, tuple[Outcomes, Outcomes]], macro: bool | None = None) -> Diagnosis:
    """Base's and candidate's outcomes by task; what is chosen falls in all of them. `macro`: the tasks are one
    group.
    """
    every, rows = [], []
    for name, (before, after) in tasks.items():
        every += [
            facts(name, "acc", "acc"),
            replace(facts(f"{name}@written", "", LENIENT, STRICT, UNPARSED), variant=twin_of(name)),
        ]
        rows += [*measured(f"{name}@written", "base", before), *measured(f"{name}@written", "new", after)]
        for model, right in (("base", 1.0), ("new", 0.0)):
            rows.append(
                Measurement(
                    task=name,
                    metric="acc",
                    model=model,
                    units=tuple(map(str, range(30))),
                    sizes=(1,) * 30,
                    rows=np.array([[right, 1.0]] * 30),
                )
            )
    name = next(iter(tasks)) if macro is None else "all"
    members = (tuple(tasks), tuple(f"{task}@written" for task in tasks))
    whole = [
        Group(name="all", tasks=members[0], metric="acc", unit=True, margin=0.02, family="f"),
        Group(
            name="all@written",
            tasks=members[1],
            metric=LENIENT,
            unit=False,
            margin=0.02,
            family="f",
            also=(STRICT, UNPARSED),
            variant=twin_of("all"),
        ),
    ]
    groups = tuple(replace(group, macro=bool(macro)) for group in whole) if macro is not None else ()
    plan = ComparePlan(base="base", candidates=("new",), groups=groups, describing=(*members[1], "all@written"))
    (found,) = diagnose(measured_run(every, rows, plan), compare(every, rows, plan))
    return found


def tango(gained: int, lost: int, n: int) -> tuple[float, float]:
    """Tango 1998, equations written out, its ends found by bisection of the score statistic: an independent second
    implementation.
    """

    def z(delta: float) -> float:
        a, b = 2 * n, -gained - lost + (2 * n - gained + lost) * delta
        q = (np.sqrt(max(b * b - 4 * a * (-lost * delta * (1 - delta)), 0.0)) - b) / (2 * a)
        return (gained - lost - n * delta) / np.sqrt(max(n * (2 * q + delta * (1 - delta)), 1e-300))

    at, edge, level = (gained - lost) / n, 1 - 1e-9, norm.ppf(0.95)
    low = -1.0 if at <= -1 else brentq(lambda delta: z(delta) - level, -edge, at - 1e-12)
    return low, 1.0 if at >= 1 else brentq(lambda delta: z(delta) + level, at + 1e-12, edge)


pairs = st.lists(st.tuples(st.sampled_from(FATES), st.sampled_from(FATES)), min_size=12, max_size=60)


@settings(max_examples=25)
@given(pairs)
def test_single_answers_as_counted_pair_by_pair(found: list[tuple[str, str]]) -> None:
    flips = diagnosed({"t": ([[before] for before, _ in found], [[after] for _, after in found])}).flips
    counts, n = Counter(found), len(found)
    assert (flips.answers, flips.lost_unreadable, flips.lost_wrong) == (n, counts[RIGHT, UNREAD], counts[RIGHT, WRONG])
    assert (flips.gained_unreadable, flips.gained_wrong) == (counts[UNREAD, RIGHT], counts[WRONG, RIGHT])
    for part, gained, lost in (
        (flips.unreadable, counts[UNREAD, RIGHT], counts[RIGHT, UNREAD]),
        (flips.wrong, counts[WRONG, RIGHT], counts[RIGHT, WRONG]),
        (flips.balance, counts[UNREAD, RIGHT] + counts[RIGHT, WRONG], counts[RIGHT, UNREAD] + counts[WRONG, RIGHT]),
    ):
        assert part.value == pytest.approx((gained - lost) / n, abs=1e-15)
        if 0 < gained + lost < n:
            assert (part.low, part.high) == pytest.approx(tango(gained, lost, n), abs=1e-6)


units = st.lists(
    st.integers(1, 4).flatmap(
        lambda size: st.tuples(*[st.lists(st.sampled_from(FATES), min_size=size, max_size=size)] * 2)
    ),
    min_size=12,
)


@settings(max_examples=25)
@given(units)
def test_net_counts_of_larger_units_add_up_to_the_difference(found: list[tuple[list[str], list[str]]]) -> None:
    diagnosis = diagnosed({"t": ([before for before, _ in found], [after for _, after in found])})
    flips, written = diagnosis.flips, next(measure for measure in diagnosis.measures if measure.name == "written")
    net = flips.gained_unreadable + flips.gained_wrong - flips.lost_unreadable - flips.lost_wrong
    assert written.difference.value == pytest.approx(net / flips.answers, abs=1e-15)
    assert flips.unreadable.value + flips.wrong.value == pytest.approx(written.difference.value, abs=1e-15)
    assert flips.lost_unreadable <= sum(max(after.count(UNREAD) - before.count(UNREAD), 0) for before, after in found)


@pytest.mark.parametrize("macro", [False, True])
def test_groups_pool_answers_or_weigh_tasks_alike(macro: bool) -> None:
    large = ([[RIGHT]] * 60, [[UNREAD]] * 30 + [[RIGHT]] * 30)
    small = ([[RIGHT]] * 20, [[WRONG]] * 20)
    found = diagnosed({"large": large, "small": small}, macro)
    flips = found.flips
    assert (found.task, found.level, flips.answers, flips.lost_unreadable, flips.lost_wrong) == (
        "all",
        "group",
        80,
        30,
        20,
    )
    expected = (-(30 / 60) / 2, -(20 / 20) / 2) if macro else (-30 / 80, -20 / 80)
    assert (flips.unreadable.value, flips.wrong.value) == pytest.approx(expected)
    written = next(measure for measure in found.measures if measure.name == "written")
    assert written.difference.value == pytest.approx(sum(expected))


def test_written_answers_that_nobody_gave_explain_nothing() -> None:
    every = [
        facts("t", "acc", "acc"),
        replace(facts("t@written", "", LENIENT, STRICT, UNPARSED), variant=twin_of("t"), failed={"new": 30}),
    ]
    right = measured("t@written", "base", ((RIGHT,),) * 30)
    chosen = replace(right[0], task="t", metric="acc")
    rows = [*right, chosen, replace(chosen, model="new", rows=chosen.rows * [0, 1])]
    plan = ComparePlan(base="base", candidates=("new",), describing=("t@written",))
    assert diagnose(measured_run(every, rows, plan), compare(every, rows, plan)) == ()
