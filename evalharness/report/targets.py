"""Say what candidates gained on the task that they were trained for."""

from __future__ import annotations

from evalharness.records.results import ModelRow, Results
from evalharness.report import wording


def unmeasured_targets(results: Results) -> list[str]:
    """Names of the candidates whose gain on their target is not known."""
    return [model.name for model in results.models if model.judged and model.target_gain is None]


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
