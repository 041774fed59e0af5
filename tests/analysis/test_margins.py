"""The margin a user gives for all tasks or for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from measured_runs import ROUGE, measured_run, task

from evalharness.analysis.margins import asked_margins, with_margins, with_targets
from evalharness.errors import UsageError
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.results import ModelRow
from evalharness.records.tasks import Group


def test_a_margin_for_all_is_for_scores_between_0_and_1() -> None:
    bleu = replace(ROUGE, id="bleu", high=100.0)
    facts = [task("t"), task("translate", bleu), task("u")]
    groups = [
        Group(name="pooled", tasks=("t", "u"), metric="acc", unit=True, margin=0.02, family="glue"),
        Group(name="translations", tasks=("translate",), metric="bleu", unit=True, margin=1.0, family="glue"),
    ]
    assert asked_margins(facts, groups, 0.05, {"translate": 2.0}) == {
        "t": 0.05,
        "u": 0.05,
        "pooled": 0.05,
        "translate": 2.0,
    }
    assert asked_margins(facts, groups, None, {"t": 0.1}) == {"t": 0.1}


def test_a_target_is_of_all_candidates_or_of_one() -> None:
    model = ModelRow(
        name="c", kind="lora", fingerprint="", base="base", parameters=1, trainable=1, trainable_share=1.0, bytes=1
    )
    plan = ComparePlan(base="base", candidates=("c", "d"), targets={"d": "u"})
    run = measured_run([task("t"), task("u")], [], plan, models=(model,))
    assert with_targets(run, None, {}) == run
    changed = with_targets(run, "t", {"c": "u"})
    assert (changed.plan.targets, changed.models[0].target_task) == ({"c": "u", "d": "t"}, "u")
    with pytest.raises(UsageError, match="no task 'tt' in what is compared; did you mean t"):
        with_targets(run, "tt", {})
    with pytest.raises(UsageError, match="no candidate 'base' in what is compared"):
        with_targets(run, None, {"base": "t"})


def test_a_margin_is_of_a_task_or_group_that_is_compared() -> None:
    run = measured_run([task("t")], [], ComparePlan(base="base", candidates=("c",), suite_name="demo"))
    changed = with_margins(run, None, {"t": 0.1}, 0.1)
    assert (changed.plan.margins, changed.plan.alpha, changed.signature["margins"]) == ({"t": 0.1}, 0.1, {"t": 0.1})
    with pytest.raises(UsageError, match="no task or group 'tt' in what is compared; did you mean t"):
        with_margins(run, None, {"tt": 0.1})
    with pytest.raises(UsageError, match=r"the suite demo has no margin of its own.*; name its tasks or groups"):
        with_margins(run, None, {"demo": 0.1})
    with pytest.raises(UsageError, match=r"0\.0 of t is no acceptable loss"):
        with_margins(run, 0.0, {})
    for everywhere, named in ((2.0, {}), (None, {"t": 1.0})):
        with pytest.raises(UsageError, match=r"margin of t: .*points are fractions here: 0\.05 is five points"):
            with_margins(run, everywhere, named)
