"""Ranked choices to Matthews correlation, F1 and MultiRC's F1a, from joint counts of gold and chosen label.

Rows are the (gold, chosen) counts, flattened from (classes, classes); sums of rows are confusion matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import TaskError
from evalharness.metrics.base import chosen, options_of, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


@dataclass(frozen=True, slots=True)
class JointCounts:
    """A corpus metric that is a function of the confusion matrix, (..., classes, classes) with gold down and chosen
    across.
    """

    id: str
    signature: str
    classes: int
    of_matrix: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    low: float
    high: float = 1.0
    kind: MetricKind = MetricKind.CORPUS
    higher_is_better: bool = True

    @property
    def width(self) -> int:
        return self.classes**2

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        """Raises TaskError where the example has more choices than the metric was told of, or several right ones."""
        example, choice = prediction.example, chosen(prediction, self.id)
        if len(example.gold) != 1:
            raise TaskError(
                f"metric {self.id}",
                f"example {example.id} has {len(example.gold)} right choices",
                "it needs exactly one",
            )
        if max(choice, example.gold[0]) >= self.classes:
            what = f"example {example.id} has {len(example.choices)} choices, the metric was told of {self.classes}"
            raise TaskError(f"metric {self.id}", what, "state `classes:` in the task's metric entry")
        counts = [0.0] * self.width
        counts[example.gold[0] * self.classes + choice] = 1.0
        return tuple(counts)

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.asarray(sums, dtype=np.float64)
        return self.of_matrix(sums.reshape(*sums.shape[:-1], self.classes, self.classes))


def mcc(spec: MetricSpec) -> Metric:
    """Matthews correlation, of several classes too (Gorodkin 2004); 0 where it is undefined, as in scikit-learn. Option
    `classes`, default 2.
    """
    classes = _classes(spec)
    return JointCounts(spec.id, f"mcc|classes:{classes}|v:1", classes, _matthews, low=-1.0)


def f1(spec: MetricSpec) -> Metric:
    """F1 of choice 1, or an average over classes; 0 where it is undefined, and averages as in scikit-learn's f1_score.

    Options: classes (default 2); average: binary (default; two classes), macro (unweighted mean over the classes that
    occur as a gold or a chosen label: a class that never does is left out, one that is never hit counts 0), micro (of
    summed counts, which here is accuracy).
    """
    classes, average = _classes(spec), spec.options.get("average", "binary")
    if not isinstance(average, str) or average not in AVERAGES or (average == "binary" and classes != 2):
        raise TaskError(
            f"metric {spec.name}",
            f"average {average!r} with {classes} classes",
            "binary with 2 classes, macro or micro would be right",
        )
    return JointCounts(spec.id, f"f1|average:{average}|classes:{classes}|v:1", classes, AVERAGES[average], low=0.0)


def f1a(spec: MetricSpec) -> Metric:
    """MultiRC's F1a: F1 over all answer options of all questions, of the label "this answer is right" (Khashabi et al.
    2018).

    Option `positive` (default 1): index of the choice that says so, 0 or 1.
    """
    positive = options_of(spec, ("positive",)).get("positive", 1)
    if isinstance(positive, bool) or not isinstance(positive, int) or positive not in (0, 1):
        raise TaskError(
            f"metric {spec.name}",
            f"positive is {positive!r}",
            "0 or 1, the index of the choice that calls an answer right",
        )

    def of_matrix(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return _f1_per_class(matrix)[..., positive]

    return JointCounts(spec.id, f"f1a|positive:{positive}|v:1", 2, of_matrix, low=0.0)


def _classes(spec: MetricSpec) -> int:
    classes = options_of(spec, ("classes", "average") if spec.name == "f1" else ("classes",)).get("classes", 2)
    if isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= 100:
        raise TaskError(f"metric {spec.name}", f"classes is {classes!r}", "a whole number from 2 to 100 would be right")
    return classes


def _matthews(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    gold, chosen = matrix.sum(-1), matrix.sum(-2)
    right, total = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1))
    covariance = right * total - (gold * chosen).sum(-1)
    spread = (total**2 - (gold**2).sum(-1)) * (total**2 - (chosen**2).sum(-1))
    return ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))


def _f1_per_class(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return ratio(2 * right, matrix.sum(-1) + matrix.sum(-2))


def _f1_binary(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return _f1_per_class(matrix)[..., 1]


def _f1_macro(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    occurs = (matrix.sum(-1) + matrix.sum(-2)) > 0
    return ratio(_f1_per_class(matrix).sum(-1), occurs.sum(-1).astype(np.float64))


def _f1_micro(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


AVERAGES = {"binary": _f1_binary, "macro": _f1_macro, "micro": _f1_micro}
