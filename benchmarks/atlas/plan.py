"""State what the atlas trains and what it asks: recipes, seeds, target, suite, by one frozen Plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.data.sources import DataSource
from evalharness.paths import shipped
from evalharness.training.recipe import Recipe

TASKS = Path(__file__).resolve().parent / "tasks"  # the atlas's suites
SHIPPED, WITH_DATA, FOR_REPAIRS = "atlas", "atlas-data", "atlas-repair"
SUBJECTS = (
    *("astronomy", "global_facts", "high_school_geography"),
    *("marketing", "miscellaneous", "us_foreign_policy"),
)
REPLAYED = ("sst2", "copa", "bigbench_language_identification_multiple_choice")
FULL, LORA, PROMPT = "full", "lora", "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to fine-tune. `replay`: the share of training rows that come from the replayed tasks."""

    method: str
    rate: float
    replay: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How the way is called in tables and folders."""
        return f"{self.method}{'-replay' if self.replay else ''}-{self.rate:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained and asked. `swept`: methods whose rates are compared at equal gain, and of which the strongest
    forgetting candidate is repaired; `data`: a folder with MMLU's published rows; `instead`: options of
    an evaluation over those that are stated here.
    """

    base: Path
    folder: Path
    ways: tuple[Way, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    target: str = "topics"
    steps: int = 16
    batch_size: int = 8
    swept: tuple[str, ...] = (FULL, LORA)
    data: Path | None = None
    instead: Mapping[str, Any] = field(default_factory=dict)

    @property
    def suite(self) -> str | None:
        """The suite's name; None where tasks are named."""
        return None if "tasks" in self.instead else WITH_DATA if self.data else SHIPPED

    @property
    def repair_suite(self) -> str | None:
        """The suite of repairs; None where tasks are named."""
        return None if "tasks" in self.instead else FOR_REPAIRS

    @property
    def source(self) -> DataSource:
        """Where training rows come from."""
        return DataSource(data_dir=shipped("fixtures/world/rows"))

    def evaluation_options(self) -> dict[str, Any]:
        """The options of every evaluation."""
        files = {f"mmlu_{s}_continuation": self.data / "test" / f"{s}_test.csv" for s in SUBJECTS} if self.data else {}
        return {"data": files, **self.asked_of_repairs()}

    def asked_of_repairs(self) -> dict[str, Any]:
        """The options of every repair, whose suite has the embedded world's rows alone."""
        options: dict[str, Any] = {"base": f"base={self.base}", "include": [TASKS], "drift": True}
        return {**options, "target": self.target, "store": self.folder / "store.sqlite", **self.instead}

    def recipe(self, way: Way, seed: int) -> Recipe:
        """The recipe of one candidate, which lies in candidates/ under the folder."""
        name = f"{way.name}-s{seed}"
        old = [task for task in REPLAYED if task != self.target]
        replay = {task: way.replay / len(old) for task in old} if way.replay else {}
        return Recipe.from_fields(
            {
                "method": way.method,
                "base": str(self.base),
                "out": str(self.folder / "candidates" / name),
                "target": self.target,
                "learning_rate": way.rate,
                "seed": seed,
                "steps": self.steps,
                "batch_size": self.batch_size,
                "save_every": self.steps,  # a state of 1.6 GB is kept for nothing: a training takes two minutes
                "replay": replay,
                **way.options,
            }
        )


def real_ways() -> tuple[Way, ...]:
    """The recipes for a model of 135 million parameters, in the order in which a part of them is worth most."""
    full = {rate: Way(method=FULL, rate=rate) for rate in (3e-5, 1e-4, 3e-4)}
    lora = {rate: Way(method=LORA, rate=rate) for rate in (2e-4, 6e-4, 2e-3)}
    beside = (Way(method=FULL, rate=3e-4, replay=0.25), Way(method=PROMPT, rate=1e-2))
    return (full[1e-4], lora[6e-4], full[3e-4], lora[2e-3], *beside, full[3e-5], lora[2e-4])


def in_order(ways: tuple[Way, ...]) -> list[Way]:
    """The ways as tables list them: by method and rate, replay after what is without."""
    methods = list(dict.fromkeys(way.method for way in ways))
    return sorted(ways, key=lambda way: (methods.index(way.method), way.replay, way.rate))
