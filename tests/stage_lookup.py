"""A column or a measure of the stages of a trace, by name."""

from __future__ import annotations

from evalharness.report.stages import Stages, StageTask


def column(stages: Stages, name: str) -> StageTask:
    return next(each for each in stages.columns if each.name == name)


def measure(stages: Stages, over: str, name: str) -> float | str:
    found = next(each for each in stages.measures if (each.over, each.name) == (over, name))
    return found.reason if found.estimate is None else found.estimate.value
