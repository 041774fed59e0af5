"""How often no answer could be read."""

from __future__ import annotations

import numpy as np

from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec


def test_unparsed_is_the_share_of_generations_without_an_answer() -> None:
    metric = build(MetricSpec(id="unparsed,lenient", name="unparsed", filter="lenient"))
    example, said = (
        Example(id="0-a", unit="0-a", prompt="?", references=("yes",)),
        Generation(request_id="r", text="well", finish_reason="stop", tokens=1),
    )
    rows = [
        metric.row(Prediction(example=example, response=said, text="yes", unparsed=unparsed))
        for unparsed in (True, False, False, True)
    ]
    assert float(metric.score(np.sum(rows, axis=0))) == 0.5
    assert (metric.kind, metric.higher_is_better, metric.id) == ("binary", False, "unparsed,lenient")
