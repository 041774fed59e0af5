"""The demo's campaign on a small scale: candidates trained, evaluated, reported; the second time nothing is trained or
answered again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalharness.experiments.demo import Plan, base, plan, promising, run_demo
from evalharness.records.comparison import Estimate
from evalharness.report.sweep import Outcome
from evalharness.tasks.library import Library
from evalharness.training.recipe import Recipe

REPLAYED = {"method": "full", "steps": 2, "learning_rate": 1e-3, "replay": {"demo": 0.2}}
SMALL = Plan(target="topics", fields={"lora": {"method": "lora", "steps": 2}, "full": REPLAYED})


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.computed = 0

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def expect(self, requests: int) -> None: ...

    def advance(self, stored: int, computed: int) -> None:
        self.computed += computed

    def notice(self, text: str) -> None: ...


def test_the_demo_and_the_demo_again(tmp_path: Path, tiny: object) -> None:
    first, second = Heard(), Heard()
    results = run_demo(tmp_path, 7, first, limit=2, demo_plan=SMALL, processes=1)
    assert [model.name for model in results.models] == ["tiny-base", "lora", "full"]
    assert [model.target_task for model in results.models[1:]] == ["topics", "topics"]
    before = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.name in ("results.json", "model.safetensors")
    }
    assert run_demo(tmp_path, 7, second, limit=2, demo_plan=SMALL, processes=1) == results
    assert second.computed == 0
    assert "full is trained already" in second.phases
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "report.html").is_file()
    counts = json.loads((tmp_path / "candidates" / "full" / "training.json").read_text())["data"]["counts"]
    assert counts.keys() == set(Library().suite("demo").tasks)  # replay reaches every old task with training rows
    assert counts["topics"] / sum(counts.values()) == pytest.approx(0.8, abs=0.01)


def outcome(gain: float, suite: float, learned: bool = True) -> Outcome:
    estimates = {"gain": Estimate(value=gain), "suite": Estimate(value=suite)}
    return Outcome(metrics={}, learned=learned, forgotten=(), units=1, **estimates)


def test_what_learned_most_of_what_lost_too_much_is_worth_a_repair() -> None:
    outcomes = {
        "kept": outcome(0.8, -0.9),
        "third": outcome(0.3, -3),
        "first": outcome(0.7, -20),
        "unlearned": outcome(0.9, -5, learned=False),
        "second": outcome(0.6, -2),
    }
    assert promising(outcomes) == ["first", "second"] and promising({}) == []


def test_the_shipped_plan_can_be_trained() -> None:
    shipped = plan()
    assert list(shipped.fields) == ["full-high", "full-low", "full-replay", "lora", "prompt"]
    recipes = {name: shipped.recipe(name, base(), Path("out"), 1) for name in shipped.fields}
    assert all(isinstance(recipe, Recipe) and recipe.target == "topics" for recipe in recipes.values())
    assert recipes["full-high"].rate > recipes["full-low"].rate
    assert recipes["full-replay"].rate == recipes["full-low"].rate
    assert recipes["full-replay"].replay
