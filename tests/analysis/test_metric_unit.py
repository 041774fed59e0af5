"""One unit a row: points where it is scored from 0 to 1, else the metric's own."""

from __future__ import annotations

from dataclasses import replace

from evalharness.analysis.metric_unit import metric_unit
from evalharness.records.comparison import Comparison, Estimate

ACCURACY = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.74),
    difference=Estimate(value=-0.06, low=-0.1, high=0.0), ci_level=0.9, margin=0.02, available=300,
    points=True, span=1.0,
)  # fmt: skip


def test_what_is_scored_from_0_to_1_is_in_points() -> None:
    scale = metric_unit(ACCURACY)
    assert (scale.score(0.8), scale.change(-0.06), scale.amount(-0.06)) == ("80.0", "−6.0", "6.0 points")
    assert scale.interval(ACCURACY.difference) == "[−10.0, 0.0]" and scale.interval(Estimate(value=1.0)) == ""
    assert scale.interval(Estimate(value=0.8, low=0.7, high=0.9), sign=False) == "[70.0, 90.0]"
    assert scale.score(None) == scale.change(None) == "–"


def test_other_metrics_keep_their_unit() -> None:
    bleu, mcc = (
        replace(ACCURACY, metric=name, points=False, span=span) for name, span in (("bleu", 100.0), ("mcc", 2.0))
    )
    assert metric_unit(bleu).amount(-3.52) == "3.5 bleu" and metric_unit(mcc).change(0.05) == "+0.05"
