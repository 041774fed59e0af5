"""Measured runs made by hand, to write and to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, TaskFacts


def measured_run(
    facts: Sequence[TaskFacts], measurements: Sequence[Measurement], plan: ComparePlan | None = None, **more: Any
) -> MeasuredRun:
    """A run of these measurements; `more`: other fields of a MeasuredRun."""
    fields: dict[str, Any] = {"models": (), "signature": {}, **more}
    plan = plan or ComparePlan("base", ("c",))
    return MeasuredRun(plan=plan, facts=tuple(facts), measurements=tuple(measurements), **fields)
