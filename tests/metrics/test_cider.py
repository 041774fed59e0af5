"""CIDEr-D against what pycocoevalcap 1.2 gives (pycocoevalcap_values.json, made by the script beside it), and against
its definition written out as vectors over all n-grams of a corpus.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.metrics import cider
from evalharness.metrics.base import OpaqueMetric
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

CIDER = MetricSpec(id="cider", name="cider")
RECORDED = json.loads((Path(__file__).parent / "pycocoevalcap_values.json").read_text())
RIGHT = ("a brown dog runs on the beach", "two children read a thick book", "an old man paints his garden fence")
words = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=8)


def predicted(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


def test_the_values_of_pycocoevalcap():
    assert len(RECORDED) >= 40
    for corpus in RECORDED:
        outputs = [text.split() for text in corpus["outputs"]]
        references = [[text.split() for text in texts] for texts in corpus["references"]]
        assert cider.scores(outputs, references) == pytest.approx(corpus["scores"], abs=1e-9)
        texts = zip(corpus["outputs"], corpus["references"], strict=True)
        point = build(CIDER).point([predicted(output, *references) for output, references in texts])
        assert point == pytest.approx(sum(corpus["scores"]) / len(corpus["scores"]), abs=1e-9)


def by_vectors(outputs, references):
    """Vedantam et al. (2015), section 3, with the clipping and the length penalty of CIDEr-D, n-gram by n-gram."""
    totals = np.zeros(len(outputs))
    for n in (1, 2, 3, 4):

        def grams(text, n=n):
            return [tuple(text[at : at + n]) for at in range(len(text) - n + 1)]

        every = sorted({gram for text in (*outputs, *(t for each in references for t in each)) for gram in grams(text)})
        documents = [{gram for text in texts for gram in grams(text)} for texts in references]
        rarity = np.array([np.log(len(documents) / max(1, sum(gram in each for each in documents))) for gram in every])

        def vector(text, every=every, rarity=rarity, grams=grams):
            return np.array([grams(text).count(gram) for gram in every], dtype=float) * rarity

        for at, (output, texts) in enumerate(zip(outputs, references, strict=True)):
            for text in texts:
                ours, theirs = vector(output), vector(text)
                size = np.linalg.norm(ours) * np.linalg.norm(theirs)
                longer = max(0, len(output) - 1) - max(0, len(text) - 1)
                cosine = np.minimum(ours, theirs) @ theirs / size if size else 0
                totals[at] += 10 / 4 / len(texts) * cosine * np.exp(-(longer**2) / 72)
    return totals


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_random_and_degenerate_corpora_as_the_definition(corpus):
    outputs, references = [output for output, _ in corpus], [texts for _, texts in corpus]
    assert cider.scores(outputs, references) == pytest.approx(by_vectors(outputs, references), abs=1e-9)


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


def test_it_is_opaque_and_signs_its_settings():
    metric = build(CIDER)
    assert isinstance(metric, OpaqueMetric) and (metric.low, metric.high) == (0, 10)
    assert metric.signature.startswith("cider|d|n:4|sigma:6|case:lc|tok:13a|sacrebleu:")
