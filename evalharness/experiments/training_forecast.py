"""Forecast the memory and disk space that trainings of a base need, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evalharness import registry, training
from evalharness.report import wording
from evalharness.report.text_table import aligned
from evalharness.training.memory import MemoryForecast, RowShape
from evalharness.training.recipe import Recipe

TITLES = ("method", "trained", "weights", "adapter", "gradients", "optimiser", "activations", "peak", "on disk")
LEGEND = (
    "optimiser: AdamW's two moments, in float32; activations: the most that a pass forward and backward holds beside",
    "all these; peak: the most at one time, less than the sum where gradients come as activations go.",
    "Not in it: libraries, the CUDA context, gaps that an allocator leaves between blocks (docs/plan.md).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingForecast:
    """The memory that trainings need by several recipes, which differ only in their methods. `shape`: the rows.
    `forecasts`: one for each of `recipes`.
    """

    shape: RowShape
    recipes: tuple[Recipe, ...]
    forecasts: tuple[MemoryForecast, ...]

    def document(self) -> dict[str, Any]:
        """Return the forecasts for JSON."""
        one = self.recipes[0]
        common = ("base", "batch_size", "gradient_accumulation", "gradient_checkpointing", "dtype")
        trainings = [
            {**asdict(forecast), "options": {name: recipe.to_json()[name] for name in recipe.definition.options}}
            for recipe, forecast in zip(self.recipes, self.forecasts, strict=True)
        ]
        return {**{name: getattr(one, name) for name in common}, **asdict(self.shape), "training": trainings}

    def lines(self) -> Iterator[str]:
        """Yield the lines for the terminal."""
        one, shape = self.recipes[0], self.shape
        learned = "" if shape.answer == shape.length else f", {shape.answer} of them learned"
        dtype = "" if shape.held == "float32" else f", weights that change held in {shape.held}"
        again = ", activations computed again" if one.gradient_checkpointing else ""
        batch = f"{one.batch_size} rows × {shape.length} tokens{learned}"
        yield f"memory of training {one.base}: {batch}, computed in {one.dtype}{dtype}{again}"
        rows = [TITLES, *map(_cells, self.forecasts)]
        yield from (f"  {line}" for line in (*aligned(rows, range(1, len(TITLES))), *LEGEND))


def forecast_training(recipes: Sequence[Recipe], shape: RowShape) -> TrainingForecast:
    """Forecast each training. Raises ModelError and UsageError as `memory_trace.forecast` does, and MissingPackageError
    without the extra [hf].
    """
    forecast: Callable[[Recipe, RowShape], MemoryForecast] = registry.find(training.REGISTRY, "memory", "stage")
    every = tuple(forecast(recipe, shape) for recipe in recipes)
    return TrainingForecast(shape=shape, recipes=tuple(recipes), forecasts=every)


def _cells(one: MemoryForecast) -> tuple[str, ...]:
    parts = (one.weights, one.adapter, one.gradients, one.optimiser, one.activations, one.peak, one.disk)
    sizes = (wording.in_bytes(size) if size else wording.NONE for size in parts)
    return (str(one.method), f"{one.trainable:,} of {one.parameters:,}", *sizes)
