"""Models' training facts to the table "How they were made", and to the lines that join candidates of one method in the
figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evalharness.records.comparison import Level
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording

COLUMNS = (
    "Method",
    "Rank",
    "Learning rate",
    "Steps",
    "Examples",
    "Seed",
    "Trainable share",
    "Size on disk",
    "Time",
    "Target gain",
    "Forgotten",
)


@dataclass(frozen=True, slots=True)
class MadeRow:
    """One candidate; `cells` in the order of COLUMNS. `after`: what it went on from, where that is not the base."""

    name: str
    cells: tuple[str, ...]
    after: str


def made_rows(results: Results) -> list[MadeRow]:
    """Candidates of whose training something is known."""
    return [_row(results, model) for model in results.models if model.judged and model.training]


def _row(results: Results, model: ModelRow) -> MadeRow:
    units = [c for c in results.comparisons if c.candidate == model.name and c.unit and c.level != Level.SUITE]
    facts = model.training
    cells = (
        _shown(facts.get("method")),
        _shown(facts.get("rank")),
        _rate(facts.get("learning_rate")),
        _shown(facts.get("steps")),
        _shown(facts.get("examples")),
        _shown(facts.get("seed")),
        wording.percent(model.trainable_share),
        wording.in_bytes(model.bytes),
        wording.in_seconds(float(facts["seconds"])) if isinstance(facts.get("seconds"), int | float) else wording.NONE,
        gain_of(model) or wording.NONE,
        f"{sum(c.verdict == 'forgotten' for c in units)} of {len(units)}" if units else wording.NONE,
    )
    return MadeRow(model.name, cells, wording.one_line(str(facts["after"]), 60) if facts.get("after") else "")


def joined(results: Results) -> list[tuple[str, ...]]:
    """Names of candidates of one method (and rank) at several learning rates, in the order of the rates."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for model in results.models:
        rate, method = model.training.get("learning_rate"), model.training.get("method")
        if model.judged and method and isinstance(rate, int | float):
            found.setdefault((str(method), str(model.training.get("rank"))), []).append((float(rate), model.name))
    lines = [sorted(of) for of in found.values() if len({rate for rate, _ in of}) > 1]
    return [tuple(name for _, name in line) for line in lines]


def _rate(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else wording.NONE


def _shown(value: Any) -> str:
    return wording.NONE if value in (None, "") else wording.one_line(wording.any_value(value), 40)


def gain_of(model: ModelRow) -> str:
    """The gain on the target with its interval; empty where it was not measured."""
    gain = model.target_gain
    return "" if gain is None else wording.with_interval(gain, wording.places_for((gain.value, gain.low, gain.high), 2))


def learned_words(model: ModelRow) -> str:
    """Did it learn what it was trained for?"""
    if model.base is None:
        return wording.NONE
    if model.target_task is None:
        return "target not known" if model.judged else wording.NONE
    if model.learned_target is None:
        return "not measured" if model.target_gain is None else "cannot be told"
    return "learned" if model.learned_target else "did not learn"
