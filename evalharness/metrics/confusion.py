"""Score ranked choices by Matthews correlation, F1 and MultiRC's F1a, from joint counts of gold and picked label.

Rows are the (gold, picked) counts, flattened from (classes, classes); sums of rows are confusion matrices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics.base import Floats, SumMetric, example_error, options_of, picked_choice, ratio, whole_number
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec


def mcc(spec: MetricSpec) -> Metric:
    """Build the metric `mcc`, Matthews correlation, also of several classes (Gorodkin 2004); 0 if undefined, as in
    scikit-learn. Option `classes`, default 2.
    """
    classes = _classes(spec)
    return _joint_counts(spec, f"mcc|classes:{classes}|v:1", classes, _matthews, low=-1.0)


def f1(spec: MetricSpec) -> Metric:
    """Build the metric `f1`: F1 of choice 1, or an average over classes as in scikit-learn's f1_score; 0 if undefined.

    Options: classes (default 2); average: binary (default; two classes), macro (unweighted mean over the classes that
    occur as a gold or a picked label), micro (of summed counts, which here is accuracy).
    """
    classes, average = _classes(spec), spec.options.get("average", "binary")
    if not isinstance(average, str) or average not in AVERAGES or (average == "binary" and classes != 2):
        fix = "binary with 2 classes, macro or micro would be right"
        raise TaskError(f"metric {spec.name}", f"average {average!r} with {classes} classes", fix)
    return _joint_counts(spec, f"f1|average:{average}|classes:{classes}|v:1", classes, AVERAGES[average])


def f1a(spec: MetricSpec) -> Metric:
    """Build the metric `f1a` of MultiRC: F1 of the label "this answer is right" over all answer options of all
    questions (Khashabi et al. 2018).

    Option `positive` (default 1): index of the choice for that label, 0 or 1.
    """
    positive = options_of(spec, ("positive",)).get("positive", 1)
    if type(positive) is not int or positive not in (0, 1):
        fix = "0 or 1, the index of the choice that calls an answer right"
        raise TaskError(f"metric {spec.name}", f"positive is {positive!r}", fix)
    return _joint_counts(spec, f"f1a|positive:{positive}|v:1", 2, lambda matrix: _f1_per_class(matrix)[..., positive])


def _classes(spec: MetricSpec) -> int:
    options = ("classes", "average") if spec.name == "f1" else ("classes",)
    return whole_number(spec, options_of(spec, options), "classes", 2, 2, 100)


def _joint_counts(
    spec: MetricSpec, signature: str, classes: int, of_matrix: Callable[[Floats], Floats], low: float = 0.0
) -> Metric:
    """Return a metric of the confusion matrix, (..., classes, classes) with gold down and picked across. Its rows
    raise TaskError for an example with more choices than `classes`, or several right ones.
    """

    def row(prediction: Prediction) -> list[float]:
        example, choice = prediction.example, picked_choice(prediction, spec.id)
        if len(example.gold) != 1:
            raise example_error(spec.id, example, f"has {len(example.gold)} right choices", "it needs exactly one")
        if max(choice, example.gold[0]) >= classes:
            what = f"has {len(example.choices)} choices, the metric expects {classes}"
            raise example_error(spec.id, example, what, "state `classes:` in the task's metric entry")
        counts = [0.0] * classes**2
        counts[example.gold[0] * classes + choice] = 1.0
        return counts

    def score(sums: Floats) -> Floats:
        return of_matrix(sums.reshape(*sums.shape[:-1], classes, classes))

    return SumMetric(id=spec.id, signature=signature, width=classes**2, read=row, of_sums=score, low=low)


def _matthews(matrix: Floats) -> Floats:
    gold, picks = matrix.sum(-1), matrix.sum(-2)
    right, total = np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1))
    covariance = right * total - (gold * picks).sum(-1)
    spread = (total**2 - (gold**2).sum(-1)) * (total**2 - (picks**2).sum(-1))
    return ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))


def _f1_per_class(matrix: Floats) -> Floats:
    right = np.diagonal(matrix, axis1=-2, axis2=-1)
    return ratio(2 * right, matrix.sum(-1) + matrix.sum(-2))


def _f1_binary(matrix: Floats) -> Floats:
    return _f1_per_class(matrix)[..., 1]


def _f1_macro(matrix: Floats) -> Floats:
    occurs = (matrix.sum(-1) + matrix.sum(-2)) > 0
    return ratio(_f1_per_class(matrix).sum(-1), occurs.sum(-1).astype(np.float64))


def _f1_micro(matrix: Floats) -> Floats:
    return ratio(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


AVERAGES = {"binary": _f1_binary, "macro": _f1_macro, "micro": _f1_micro}
