"""Score ranked choices by selection bias: how far the distribution of picks is from that of the right choices."""

from __future__ import annotations

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics.base import Floats, SumMetric, example_error, options_of, picked_choice, ratio
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec


def selection_bias(spec: MetricSpec) -> Metric:
    """Build the metric `selection_bias`. A row is (picks, rights), flattened: 1 for the picked choice, and 1 for the
    right one, shared among several. Rows raise TaskError for other choices or responses. Option `choices`: the texts
    of the choices, in order.

    The score is the total variation distance of the two distributions, ½ Σ |picks − rights| / examples: 0 if every
    choice is picked as often as it is right, whether or not at the right places. The bias is that of Zheng et al. 2024
    (arXiv 2309.03882), who measure it by the spread of recalls; the distance is ours, because it is also defined if a
    choice is never right.
    """
    choices = options_of(spec, ("choices",)).get("choices")
    listed = choices if isinstance(choices, (list, tuple)) else ()
    if len(listed) < 2 or not all(isinstance(choice, str) for choice in listed):
        raise TaskError(f"metric {spec.name}", f"choices is {choices!r}", "a list of two or more texts would be right")
    number = len(listed)

    def row(prediction: Prediction) -> Floats:
        pick, example = picked_choice(prediction, spec.id), prediction.example
        if len(example.choices) != number:
            what = f"has {len(example.choices)} choices instead of {number}"
            raise example_error(spec.id, example, what, "it is for tasks whose choices are the same for all examples")
        counts = np.zeros((2, number))
        counts[0, pick] = 1.0
        counts[1, list(example.gold)] = 1 / len(example.gold)
        return counts.ravel()

    def score(sums: Floats) -> Floats:
        picks, rights = np.split(sums, 2, axis=-1)
        return ratio(np.abs(picks - rights).sum(-1) / 2, picks.sum(-1))

    signature = f"selection_bias|distance:total-variation|choices:{number}|pick:sum|ties:first|v:1"
    return SumMetric(id=spec.id, signature=signature, width=2 * number, read=row, of_sums=score, higher_is_better=False)
