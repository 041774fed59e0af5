"""Measurements and measured runs made by hand, to write and to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from evalharness.analysis.comparison import compare
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.models import NO_TARGET
from evalharness.records.tasks import Group

ACC = MetricFacts(
    id="acc", name="acc", options={}, kind="binary", low=0.0, high=1.0, higher_is_better=True, signature="acc"
)
ROUGE = MetricFacts(
    id="rougeL", name="rougeL", options={}, kind="graded", low=0.0, high=1.0, higher_is_better=True, signature="rougeL"
)
MCC = MetricFacts(
    id="mcc", name="mcc", options={}, kind="corpus", low=-1.0, high=1.0, higher_is_better=True, signature="mcc"
)
OPAQUE = MetricFacts(
    id="meteor",
    name="evaluate",
    options={},
    kind="opaque",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    signature="meteor",
)
NONE, HALF = np.zeros(400), np.arange(400) // 2 % 2.0
MMLU = Group(name="mmlu", tasks=("m1", "m2"), metric="acc", unit=True, margin=0.03, family="mmlu")


def measured_run(
    facts: Sequence[TaskFacts], measurements: Sequence[Measurement], plan: ComparePlan | None = None, **more: Any
) -> MeasuredRun:
    """A run of these measurements; `more`: other fields of a MeasuredRun."""
    needed = {"margin": None, "margins": {}, "engine": {"fingerprint": "drawn"}}
    needed |= {"tasks": {fact.name: {"definition": fact.name} for fact in facts}, **more.pop("signature", {})}
    settled: dict[str, Any] = {"models": (), "signature": needed, **more}
    plan = plan or ComparePlan(base="base", candidates=("c",), targets={"c": NO_TARGET})
    return MeasuredRun(plan=plan, facts=tuple(facts), measurements=tuple(measurements), **settled)


def task(
    name: str, *metrics: MetricFacts, chance: float | None = 0.25, margin: float = 0.02, **other: Any
) -> TaskFacts:
    metrics = metrics or (ACC,)
    settled = {"available": 9999, "truncated": 0, "failed": {}, "unparsed": {}, **other}
    return TaskFacts(
        name=name,
        family="glue",
        version="1",
        primary=metrics[0].id,
        margin=margin,
        chance=chance,
        data_digest="d",
        prompts_digest="p",
        metrics=metrics,
        **settled,
    )


def measured(
    name: str, model: str, values: Sequence[float] | np.ndarray, metric: str = "acc", sizes: Sequence[int] | None = None
) -> Measurement:
    sizes = sizes or [1] * len(values)
    rows = np.column_stack([np.asarray(values, dtype=float), np.asarray(sizes, dtype=float)]).reshape(len(values), 2)
    return Measurement(
        task=name,
        metric=metric,
        model=model,
        units=tuple(f"{i}-x" for i in range(len(values))),
        sizes=tuple(sizes),
        rows=rows,
    )


def answers(n: int, right: int, lost: int = 0, gained: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """0/1 scores of base and candidate with exactly these counts."""
    base = (np.arange(n) < right).astype(float)
    other = base.copy()
    other[:lost], other[n - gained :] = 0, 1
    return base, other


def both(name: str, n: int, right: int, lost: int = 0, gained: int = 0, candidate: str = "lora") -> list[Measurement]:
    base, other = answers(n, right, lost, gained)
    return [measured(name, "base", base), measured(name, candidate, other)]


def plan(**options: Any) -> ComparePlan:
    return ComparePlan(base="base", candidates=("lora",), **{"targets": {"lora": NO_TARGET}, **options})


def by_task(comparisons: Sequence[Comparison]) -> Mapping[str, Comparison]:
    return {row.task: row for row in comparisons if row.primary}


def one(n: int, right: int, lost: int = 0, gained: int = 0, **about: Any) -> Comparison:
    return by_task(compare([task("t", **about)], both("t", n, right, lost, gained), plan()))["t"]


def scored(metric: MetricFacts, model: str, right: np.ndarray, sizes: int = 1) -> Measurement:
    """Rows of a metric for which `right` (units,) says how good each answer is, 0-1; MCC's answers are of two classes
    in turn.
    """
    rows = np.column_stack([sizes * right, np.full(len(right), float(sizes))])
    if metric is MCC:
        gold = np.arange(len(right)) % 2
        rows = np.zeros((len(right), 4))
        rows[np.arange(len(right)), 2 * gold + np.where(right > 0.5, gold, 1 - gold)] = sizes
    return Measurement(
        task="t",
        metric=metric.id,
        model=model,
        units=tuple(map(str, range(len(right)))),
        sizes=(sizes,) * len(right),
        rows=rows,
    )


def assert_numbers(rows: Sequence[Comparison]) -> None:
    for row in rows:
        values = [getattr(row, each.name) for each in fields(row)]
        values += [
            number for value in values if isinstance(value, Estimate) for number in (value.value, value.low, value.high)
        ]
        assert all(np.isfinite(value) for value in values if isinstance(value, float))
        assert row.verdict in ("forgotten", "retained", "inconclusive")


def grouped(**options: Any) -> tuple[Comparison, ...]:
    facts = [task("m1"), task("m2", chance=0.5), task("sst2", chance=0.5)]
    return compare(
        facts, [*both("m1", 100, 80, 20), *both("m2", 300, 200, 60), *both("sst2", 500, 450, 3, 3)], plan(**options)
    )
