"""Ranked choices that are the same for every example to how far the picks are from the right answers' places: always
"A", whatever is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import TaskError
from evalharness.metrics.base import chosen, options_of, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


@dataclass(frozen=True, slots=True)
class SelectionBias:
    """Rows (picks, rights), of each choice by its place, flattened: 1 where it is picked, and 1 where it is right,
    shared among several.

    The score is the total variation distance of the two distributions, ½ Σ |picks − rights| / examples: 0 where every
    choice is picked as often as it is right, which says nothing of whether it is picked where it is right. The bias is
    that of Zheng et al. 2024 (arXiv 2309.03882), who measure it by the spread of recalls; the distance is ours, because
    it has a value also where a choice is never right.
    """

    id: str
    choices: tuple[str, ...]
    kind: MetricKind = MetricKind.CORPUS
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = False

    @property
    def width(self) -> int:
        return 2 * len(self.choices)

    @property
    def signature(self) -> str:
        return f"selection_bias|distance:total-variation|choices:{len(self.choices)}|pick:sum|ties:first|v:1"

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        """Raises TaskError where nothing was ranked, or not these choices."""
        pick, example = chosen(prediction, self.id), prediction.example
        if len(example.choices) != len(self.choices):
            what = f"example {example.id} has {len(example.choices)} choices instead of {len(self.choices)}"
            raise TaskError(f"metric {self.id}", what, "it is for tasks whose choices are the same for all examples")
        picks, rights = np.zeros(len(self.choices)), np.zeros(len(self.choices))
        picks[pick] = 1.0
        rights[list(example.gold)] = 1 / len(example.gold)
        return (*picks.tolist(), *rights.tolist())

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        picks, rights = np.split(np.asarray(sums, dtype=np.float64), 2, axis=-1)
        return ratio(np.abs(picks - rights).sum(-1) / 2, picks.sum(-1))


def selection_bias(spec: MetricSpec) -> Metric:
    """Option `choices`: the texts of the choices, in order."""
    choices = options_of(spec, ("choices",)).get("choices")
    if (
        not isinstance(choices, (list, tuple))
        or len(choices) < 2
        or not all(isinstance(choice, str) for choice in choices)
    ):
        raise TaskError(f"metric {spec.name}", f"choices is {choices!r}", "a list of two or more texts would be right")
    return SelectionBias(spec.id, tuple(choices))
