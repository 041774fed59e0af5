"""CIDEr, where the package that computes it is installed."""

from __future__ import annotations

import pytest

from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

pytest.importorskip("pycocoevalcap", reason="CIDEr needs the package pycocoevalcap, which is not installed")

CIDER = MetricSpec(id="cider", name="cider")


def predicted(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


RIGHT = ("a brown dog runs on the beach", "two children read a thick book", "an old man paints his garden fence")


def test_equal_texts_score_10_and_others_0():
    metric = build(CIDER)
    assert metric.point([predicted(text, text) for text in RIGHT]) == pytest.approx(10.0)
    assert metric.point([predicted("quite unlike", text) for text in RIGHT]) == pytest.approx(0.0)


def test_one_example_alone_empty_texts_and_none_score_0():
    metric = build(CIDER)
    assert metric.point([]) == metric.point([predicted(RIGHT[0], RIGHT[0])]) == 0
    assert (
        metric.point([predicted("", text) for text in RIGHT])
        == metric.point([predicted(None, text) for text in RIGHT])
        == 0
    )
