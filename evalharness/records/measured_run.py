"""Everything that was measured of a base and its candidates: the input of an analysis."""

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
    """Everything that was measured of a base and its candidates; measurements.parquet stores it.

    `models`: the base first, without the fields that a comparison fills. `signature`: what exactly was measured.
    `seen_units`: candidate -> task -> the units of which it saw an example in training. `samples`: (task, model) ->
    prompts and answers, only for imported logs; those of a run are in files of its folder, and measurements.parquet
    has none.
    """

    plan: ComparePlan
    facts: tuple[TaskFacts, ...]
    measurements: tuple[Measurement, ...]
    models: tuple[ModelRow, ...]
    signature: Mapping[str, Any]
    errors: tuple[ExampleError, ...] = ()
    drift: tuple[Drift, ...] = ()
    drift_forecasts: tuple[DriftForecast, ...] = ()
    seen_units: Mapping[str, Mapping[str, Set[str]]] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], tuple[Sample, ...]] = field(default_factory=dict)

    @property
    def placebo(self) -> str | None:
        """Return the name of the placebo (the base through an adapter that changes nothing), if it was measured."""
        kinds = {model.name: model.kind for model in self.models}
        return next((name for name in self.plan.references if kinds.get(name) == ModelKind.PLACEBO), None)
