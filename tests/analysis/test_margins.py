"""The margin a user gives for all tasks or for one."""

from __future__ import annotations

from dataclasses import replace

from measured_runs import ROUGE, task

from evalharness.analysis.margins import asked_margins
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
