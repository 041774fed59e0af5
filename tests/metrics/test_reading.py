"""How often no answer could be read."""

from __future__ import annotations

import numpy as np

from evalharness.metrics.base import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec


def test_unparsed_is_the_share_of_generations_without_an_answer() -> None:
    metric = build(MetricSpec("unparsed,lenient", "unparsed", filter="lenient"))
    example, said = Example("0-a", "0-a", "?", references=("yes",)), Generation("r", "well", "stop", 1)
    rows = [
        metric.row(Prediction(example, said, text="yes", unparsed=unparsed)) for unparsed in (True, False, False, True)
    ]
    assert float(metric.score(np.sum(rows, axis=0))) == 0.5
    assert (metric.kind, metric.higher_is_better, metric.id) == ("binary", False, "unparsed,lenient")
