"""List the points of a sweep: a named Recipe for every combination of method, rank, learning rate and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError, did_you_mean
from evalharness.training.methods import OPTIONS, TRAINING_METHODS
from evalharness.training.recipe import Recipe

RANK = "rank"  # the methods' option with the rank
EVERY = ""  # in place of a method: the rates of all methods without rates of their own


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that a sweep varies.

    `rates`: method -> learning rates, with EVERY for all methods without rates of their own. `ranks`: of methods that
    have one. `shared`: the other fields of every Recipe (steps, replay, …).

    Raises UsageError for an unknown method, an empty or a repeated value.
    """

    methods: tuple[str, ...]
    rates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (1234,)
    shared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in TRAINING_METHODS:
                raise UsageError("--method", f"unknown method {method!r}", did_you_mean(method, TRAINING_METHODS))
        for method in self.rates:
            if method != EVERY and method not in self.methods:
                raise UsageError(
                    "--lr", f"rates of {method!r}, which is not swept", f"one of {', '.join(self.methods)}"
                )
        values: list[tuple[str, Sequence[Any]]] = [("--method", self.methods), ("--seed", self.seeds)]
        values += [("--lr", rates) for rates in self.rates.values()] + ([("--rank", self.ranks)] if self.ranks else [])
        for option, several in values:
            if not several or len(set(several)) < len(several):
                raise UsageError(option, "names a value twice" if several else "names none", "every value once")
        if self.ranks and not any(RANK in TRAINING_METHODS[method].options for method in self.methods):
            raise UsageError("--rank", f"none of {', '.join(self.methods)} has a rank", "sweep lora, or leave it out")

    def rates_of(self, method: str) -> tuple[float, ...]:
        """List the method's own rates, else those of every method, else its one default, in ascending order."""
        return tuple(sorted(self.rates.get(method, self.rates.get(EVERY, (TRAINING_METHODS[method].rate,)))))

    def ranks_of(self, method: str) -> tuple[int | None, ...]:
        """List the ranks to sweep; (None,) if the method has no rank, or the recipe's own is used."""
        return self.ranks if self.ranks and RANK in TRAINING_METHODS[method].options else (None,)

    def points(self, base: str, target: str, folder: Path) -> tuple[GridPoint, ...]:
        """List every point, with its candidate at `folder`/<name>. A shared option goes to the methods that have it.
        Raises UsageError for a recipe that cannot be trained with.
        """
        fixed = {**self.shared, "base": base, "target": target}
        return tuple(
            self._point(method, rank, rate, seed, fixed, folder)
            for method in self.methods
            for rank in self.ranks_of(method)
            for rate in self.rates_of(method)
            for seed in self.seeds
        )

    def _point(
        self, method: str, rank: int | None, rate: float, seed: int, fixed: Mapping[str, Any], folder: Path
    ) -> GridPoint:
        options = TRAINING_METHODS[method].options
        series = method if rank is None else f"{method}-r{rank}"
        name = f"{series}-lr{rate:g}-s{seed}"
        own = {"method": method, "learning_rate": rate, "seed": seed, "out": str(folder / name)}
        fields = {key: value for key, value in fixed.items() if key not in OPTIONS or key in options}
        recipe = Recipe.from_fields({**fields, **own, **({} if rank is None else {RANK: rank})})
        return GridPoint(name=name, series=series, rank=recipe.option(RANK) if RANK in options else None, recipe=recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """One candidate to train. `series`: its method and swept rank; one learning rate is chosen for each series. `rank`:
    None if the method has none. `recipe`: by which it is trained.
    """

    name: str
    series: str
    rank: int | None
    recipe: Recipe
