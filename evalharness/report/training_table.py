"""Tabulate how candidates were trained, and find those that differ only in their learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalharness import fingerprint
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording
from evalharness.report.targets import gain_of
from evalharness.stats.enums import Verdict

BESIDE_THE_RECIPE = ("learning_rate", "seed", "seconds", "examples")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """How one candidate was trained. `cells`: texts by column title. `after`: the candidate from which its training
    continued; "": it began with the base.
    """

    name: str
    cells: Mapping[str, str]
    after: str


def training_table(results: Results) -> list[TrainingRow]:
    """Return a row for each candidate with recorded training facts."""
    return [_row(results, model) for model in results.models if model.judged and model.training]


def _row(results: Results, model: ModelRow) -> TrainingRow:
    units = [c for c in results.comparisons if c.candidate == model.name and c.is_gate_unit]
    facts = model.training
    seconds = facts.get("seconds")
    cells = {
        "Method": _text(facts.get("method")),
        "Rank": _text(facts.get("rank")),
        "Learning rate": _rate(facts.get("learning_rate")),
        "Steps": _text(facts.get("steps")),
        "Examples": _text(facts.get("examples")),
        "Seed": _text(facts.get("seed")),
        "Trainable share": wording.percent(model.trainable_share),
        "Size on disk": wording.NONE if model.bytes is None else wording.in_bytes(model.bytes),
        "Time": wording.in_seconds(float(seconds)) if isinstance(seconds, int | float) else wording.NONE,
        "Target gain": gain_of(model) or wording.NONE,
        "Forgotten": f"{sum(c.verdict == Verdict.FORGOTTEN for c in units)} of {len(units)}" if units else wording.NONE,
    }
    return TrainingRow(
        name=model.name, cells=cells, after=wording.one_line(str(facts["after"]), 60) if facts.get("after") else ""
    )


def rate_series(results: Results) -> list[tuple[str, ...]]:
    """Return series of candidates that differ only in their learning rate: their names, in the order of the rates."""
    alike: dict[str, list[tuple[float, str]]] = {}
    for model in results.models:
        rate = model.training.get("learning_rate")
        if model.judged and model.training.get("method") and isinstance(rate, int | float):
            rest = {key: value for key, value in model.training.items() if key not in BESIDE_THE_RECIPE}
            alike.setdefault(fingerprint.of_value(rest), []).append((float(rate), model.name))
    lines = [sorted(of) for of in alike.values() if len({rate for rate, _ in of}) > 1]
    return [tuple(name for _, name in line) for line in lines]


def _rate(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else wording.NONE


def _text(value: Any) -> str:
    return wording.NONE if value in (None, "") else wording.one_line(wording.any_value(value), 40)
