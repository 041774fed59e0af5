"""Put into words what candidates gained on their targets: the target is the task that a candidate was trained for."""

from __future__ import annotations

from evalharness.analysis.metric_unit import metric_unit
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.models import NO_TARGET
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording


def suite_changes(results: Results) -> dict[str, Estimate]:
    """Return each candidate's change over the suite (the mean over all tasks that the gate judges), by its name.

    A candidate is left out if the change was not measured, or if the base has no skill above chance to lose.
    """
    rows = (c for c in results.comparisons if c.level == Level.SUITE and c.primary)
    suites = (c for c in rows if not wording.nothing_shown(c.general))
    return {c.candidate: c.difference for c in suites if c.difference is not None}


def untargeted(results: Results) -> bool:
    """Return True if no candidate's gain on a target is known: then the figure can only show what was forgotten."""
    return not any(m.judged and m.target_gain is not None for m in results.models)


def undrawn(results: Results) -> list[str]:
    """Return the names of the candidates that the figure leaves out. Their change over the suite is not known, or other
    candidates have a gain on the target and they have none.
    """
    changes, without = suite_changes(results), untargeted(results)
    return [m.name for m in results.models if m.judged and (m.name not in changes or not (without or m.target_gain))]


def gain_of(model: ModelRow) -> str:
    """Return the gain on the target with its interval; empty if it was not measured."""
    gain = model.target_gain
    return "" if gain is None else wording.with_interval(gain, wording.places_for((gain.value, gain.low, gain.high), 2))


def row_of_target(results: Results, model: ModelRow) -> Comparison | None:
    """Return the candidate's row on its target by the metric that decides; None if that was not compared."""
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
    """Return a verb phrase that says why it is not known whether the candidate learned its target: "was not
    measured".
    """
    if model.target_gain is None:
        return "was not measured"
    return "cannot be told" if model.target_gain.low is None else "is not shown"


def why_unlearned(gain: Estimate | None) -> str:
    """Return a clause that says why a gain above 0 does not count as learning; "" if the gain is not shown to be above
    0.
    """
    if gain is None or gain.low is None or gain.low <= 0:
        return ""
    return ": its gain is within the margin, or its score no better than guessing"


def learned_words(model: ModelRow) -> str:
    """Return "learned" or "did not learn", about the candidate's target. If that is not known, say why; "–" for a model
    that has no target, such as the base.
    """
    if model.base is None:
        return wording.NONE
    if model.target_task is None:
        return "target not known" if model.judged else wording.NONE
    if model.target_task == NO_TARGET:
        return "trained for none of these tasks"
    if model.learned_target is None:
        return f"learning {why_learning_unknown(model).removeprefix('is ').removeprefix('was ')}"
    return "learned" if model.learned_target else "did not learn"
