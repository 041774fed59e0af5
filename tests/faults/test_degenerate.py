"""Tables of no, one, two or a few units, all alike or all flipped, become results without an exception, and with a
verdict that is right or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured_runs import ACC, MCC, MMLU, OPAQUE, ROUGE, assert_numbers, measured_run, plan, scored, task

from evalharness.analysis.analyse import analyse
from evalharness.records.comparison import Comparison
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, MetricFacts

KINDS = (ACC, ROUGE, MCC, OPAQUE)
CANDIDATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "equal": lambda base: base,
    "flipped": lambda base: 1 - base,
    "permuted": lambda base: base[::-1],
    "all lost": lambda base: 0 * base,
    "all right": lambda base: 0 * base + 1,
}


def of_task(name: str, metric: MetricFacts, base: np.ndarray, other: np.ndarray, sizes: int) -> list[Measurement]:
    pair = [scored(metric, model, right, sizes) for model, right in (("base", base), ("lora", other))]
    return [replace(each, task=name) for each in pair]


def run_of(
    metric: MetricFacts, base: np.ndarray, other: np.ndarray, sizes: int = 1, chance: float = 0.0
) -> MeasuredRun:
    """Two tasks with these answers, in a group where they can be pooled, and one that nobody was asked."""
    facts = [task(name, metric, chance=chance) for name in ("m1", "m2", "none")]
    rows = [row for name in ("m1", "m2") for row in of_task(name, metric, base, other, sizes)]
    rows += of_task("none", metric, base[:0], other[:0], sizes)
    groups = (MMLU,) if metric is ACC else ()
    return measured_run(facts, rows, plan(groups=groups, suite_name="suite"))


def judged_of(run: MeasuredRun) -> list[Comparison]:
    """The rows that have a verdict, every number of all rows finite."""
    rows = analyse(run).comparisons
    assert_numbers([replace(row, verdict=row.verdict or "inconclusive") for row in rows])
    return [row for row in rows if row.verdict is not None]


@pytest.mark.fault(36)
@settings(max_examples=40)
@given(st.data())
def test_few_units_decide_nothing_and_raise_nothing(data: st.DataObject) -> None:
    metric = data.draw(st.sampled_from(KINDS))
    values = st.sampled_from((0.0, 0.5, 1.0) if metric is ROUGE else (0.0, 1.0))
    base = np.array(data.draw(st.lists(values, max_size=4)))
    other = CANDIDATES[data.draw(st.sampled_from(list(CANDIDATES)))](base)
    sizes, chance = data.draw(st.sampled_from((1, 7))), data.draw(st.sampled_from((0.0, 0.25, 0.5)))
    judged = judged_of(run_of(metric, base, other, sizes, 0.0 if metric is MCC else chance))
    assert {row.verdict for row in judged} == {"inconclusive"}


@pytest.mark.fault(36)
@pytest.mark.parametrize("metric", KINDS, ids=lambda metric: metric.name)
def test_what_is_alike_throughout_has_the_right_verdict_or_none(metric: MetricFacts, record_property) -> None:
    bases = {"right": np.ones(60), "half": np.arange(60) % 2.0}
    record_property("injected", len(bases) * len(CANDIDATES))
    for how, base in bases.items():
        for name, make in CANDIDATES.items():
            for row in judged_of(run_of(metric, base, make(base))):
                value = 0.0 if row.difference is None else row.difference.value
                right = {"forgotten": value < 0, "retained": value > -row.margin, "inconclusive": True}
                assert right[row.verdict], (how, name, row)
    worst = judged_of(run_of(metric, bases["right"], 0 * bases["right"]))
    lost = {row.verdict for row in worst if row.unit and row.task in ("m1", "m2", "mmlu")}
    assert lost == (set() if metric is OPAQUE else {"forgotten"})
