"""The spread over wordings against the comparisons that it aggregates, and against judging each wording on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from measured_runs import ROUGE, both, by_task, measured, measured_run, plan, task

from evalharness.analysis.analyse import analyse
from evalharness.analysis.comparison import compare
from evalharness.records.tasks import Group, Variant, VariantKind
from evalharness.records.wordings import WorstToBest

WAYS = {"": (400, 380, 4, 2), "plain": (400, 360, 60, 0), "curt": (400, 380, 14, 0)}
LOSS = replace(ROUGE, id="loss", name="brier_score", high=2.0, higher_is_better=False, signature="loss")


def name_of(way: str, of: str = "t") -> str:
    return f"{of}@{way}" if way else of


def variant(way: str, of: str = "t", metric: str = "acc") -> Variant | None:
    return Variant(of=of, way=way, kind=VariantKind.WORDING, metric=metric) if way else None


def test_each_wording_has_the_verdict_that_it_would_have_alone() -> None:
    facts = [replace(task(name_of(way), margin=0.05), variant=variant(way)) for way in WAYS]
    facts += [task(f"other{i}") for i in range(5)]  # more gate units, which Holm's correction of "t" pays for
    rows = [each for way, counts in WAYS.items() for each in both(name_of(way), *counts)]
    rows += [each for i in range(5) for each in both(f"other{i}", 400, 380)]
    (spread,) = analyse(measured_run(facts, rows, plan(describing=("t@plain", "t@curt")))).wordings
    alone = [
        by_task(compare([task(name_of(way), margin=0.05)], both(name_of(way), *counts), plan()))[name_of(way)]
        for way, counts in WAYS.items()
    ]
    assert spread.wordings == ("", "plain", "curt")
    assert spread.verdicts == tuple(row.verdict for row in alone) == ("retained", "forgotten", "inconclusive")
    assert spread.depends
    assert spread.base == WorstToBest(worst=0.9, mean=(0.95 + 0.9 + 0.95) / 3, best=0.95)
    changes = sorted(row.difference.value for row in alone)
    assert spread.difference == WorstToBest(worst=changes[0], mean=sum(changes) / 3, best=changes[-1])


def test_of_a_score_that_is_better_when_lower_the_worst_is_the_largest() -> None:
    facts = [replace(task(name_of(way), LOSS, chance=1.0), variant=variant(way, metric="loss")) for way in ("", "curt")]
    rows = [
        measured(name_of(way), model, np.full(40, value), "loss")
        for way, values in (("", (0.25, 0.5)), ("curt", (0.375, 0.375)))
        for model, value in zip(("base", "lora"), values, strict=True)
    ]
    (spread,) = analyse(measured_run(facts, rows, plan(describing=("t@curt",)))).wordings
    assert (spread.base.worst, spread.base.best) == (0.375, 0.25)
    assert (spread.candidate_score.worst, spread.candidate_score.best) == (0.5, 0.375)
    assert (spread.difference.worst, spread.difference.best) == (-0.25, 0.0)


def test_a_group_is_one_unit_at_its_own_margin_and_its_members_are_none() -> None:
    members = ("m1", "m2")
    facts = [replace(task(name_of(way, of)), variant=variant(way, of)) for of in members for way in ("", "curt")]
    rows = [each for fact in facts for each in both(fact.name, 300, 290, 30 if "@" in fact.name else 0)]
    unit = Group(name="g", tasks=members, metric="acc", unit=True, margin=0.05, family="f")
    pooled = replace(unit, name="g@curt", tasks=("m1@curt", "m2@curt"), unit=False, variant=variant("curt", "g"))
    describing = ("m1@curt", "m2@curt", "g@curt")
    results = analyse(measured_run(facts, rows, plan(groups=(unit, pooled), describing=describing)))
    (spread,) = results.wordings
    assert (spread.task, spread.level, spread.wordings) == ("g", "group", ("", "curt"))
    assert spread.verdicts == ("retained", "forgotten")


def test_units_that_were_asked_in_rounds_have_no_verdicts_by_wording() -> None:
    facts = [replace(task(name_of(way)), variant=variant(way)) for way in ("", "curt")]
    rows = [each for fact in facts for each in both(fact.name, 300, 290)]
    (spread,) = analyse(measured_run(facts, rows, plan(describing=("t@curt",), until_decided=True))).wordings
    assert spread.verdicts is None and not spread.depends


def test_nothing_is_said_where_there_is_one_wording() -> None:
    assert analyse(measured_run([task("t")], both("t", 300, 290), plan())).wordings == ()
