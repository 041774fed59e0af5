"""Texts on what candidates gained on the task that they were trained for."""

from __future__ import annotations

from evalharness.analysis.metric_unit import metric_unit
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.models import NO_TARGET
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording


def suite_changes(results: Results) -> dict[str, Estimate]:
    """Return the change over the suite by candidate, where it was measured and the base has any skill to lose."""
    rows = (c for c in results.comparisons if c.level == Level.SUITE and c.primary)
    suites = (c for c in rows if not wording.nothing_shown(c.general))
    return {c.candidate: c.difference for c in suites if c.difference is not None}


def untargeted(results: Results) -> bool:
    """Return whether no candidate's gain on a target is known, so that the figure can show only what was kept."""
    return not any(m.judged and m.target_gain is not None for m in results.models)


def undrawn(results: Results) -> list[str]:
    """Return the candidates that the figure leaves out: their change over the suite, or the gain on the target where
    others have one, is not known.
    """
    changes, without = suite_changes(results), untargeted(results)
    return [m.name for m in results.models if m.judged and (m.name not in changes or not (without or m.target_gain))]


def gain_of(model: ModelRow) -> str:
    """Return the gain on the target with its interval; empty if it was not measured."""
    gain = model.target_gain
    return "" if gain is None else wording.with_interval(gain, wording.places_for((gain.value, gain.low, gain.high), 2))


def row_of_target(results: Results, model: ModelRow) -> Comparison | None:
    """Return the row of a candidate on the task that it was trained for, by the metric that decides."""
    own = (c for c in results.comparisons if c.candidate == model.name and c.task == model.target_task and c.primary)
    return next((c for c in own if c.level in (Level.TASK, Level.GROUP)), None)


def gain_in_unit(results: Results, model: ModelRow) -> str:
    """Return the gain on the target in the unit of its metric, "+52.0 points"; empty if it was not measured."""
    row = row_of_target(results, model)
    if model.target_gain is None or row is None:
        return gain_of(model)
    unit = metric_unit(row)
    return f"{unit.change(model.target_gain.value)} {wording.one_line(unit.name, 30)}"


def why_learning_unknown(model: ModelRow) -> str:
    """Return why it is not known whether a candidate learned its target, as a verb phrase."""
    if model.target_gain is None:
        return "was not measured"
    return "cannot be told" if model.target_gain.low is None else "is not shown"


def why_unlearned(gain: Estimate | None) -> str:
    """Return why a gain that is shown does not count as learning; "" if the gain is not shown."""
    if gain is None or gain.low is None or gain.low <= 0:
        return ""
    return ": its gain is within the margin, or its score no better than guessing"


def learned_words(model: ModelRow) -> str:
    """Return whether a model learned its target, in words."""
    if model.base is None:
        return wording.NONE
    if model.target_task is None:
        return "target not known" if model.judged else wording.NONE
    if model.target_task == NO_TARGET:
        return "trained for none of these tasks"
    if model.learned_target is None:
        return f"learning {why_learning_unknown(model).removeprefix('is ').removeprefix('was ')}"
    return "learned" if model.learned_target else "did not learn"
