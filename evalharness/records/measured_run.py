"""What was measured of a base and its candidates: all that an analysis needs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measurements import ExampleError, Measurement, Sample, TaskFacts
from evalharness.records.models import ModelKind
from evalharness.records.results import Drift, DriftForecast, ModelRow


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """Everything that was measured of a base and its candidates, whoever measured it; measurements.parquet holds it.

    `models`: the base first, without what only a comparison tells of them. `signature`: what exactly was measured.
    `seen`: candidate -> task -> units of which it saw an example in training. `samples`: (task, model) -> what was
    asked and answered, of logs: those of a run lie in its folder from the start, and measurements.parquet has none.
    """

    plan: ComparePlan
    facts: tuple[TaskFacts, ...]
    measurements: tuple[Measurement, ...]
    models: tuple[ModelRow, ...]
    signature: Mapping[str, Any]
    errors: tuple[ExampleError, ...] = ()
    drift: tuple[Drift, ...] = ()
    drift_forecasts: tuple[DriftForecast, ...] = ()
    seen: Mapping[str, Mapping[str, Set[str]]] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], tuple[Sample, ...]] = field(default_factory=dict)

    @property
    def placebo(self) -> str | None:
        """The base through an adapter that changes nothing, where it was measured."""
        kinds = {model.name: model.kind for model in self.models}
        return next((name for name in self.plan.references if kinds.get(name) == ModelKind.PLACEBO), None)
