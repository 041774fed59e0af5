"""BLEU against sacrebleu's corpus_bleu."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.metrics.base import parts_of
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

SPEC = MetricSpec(id="bleu", name="bleu")
words = st.lists(
    st.sampled_from(["the", "cat", "sat", "on", "a", "mat", ",", "It's", "3.5", "%", "über", "."]), max_size=9
).map(" ".join)
corpora = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.tuples(words, st.lists(words, min_size=n, max_size=n)), min_size=1, max_size=6)
)


def predicted(text, references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=tuple(references)),
        response=Generation(request_id="r", text=text, finish_reason="eos", tokens=1),
        text=text,
    )


def sums(metric, corpus):
    return np.array([metric.row(predicted(text, references)) for text, references in corpus]).sum(0)


@given(corpus=corpora, lowercase=st.booleans(), tokenize=st.sampled_from(["13a", "intl", "char", "none"]))
def test_the_score_of_summed_rows_is_sacrebleus(corpus, lowercase, tokenize):
    metric = build(MetricSpec(id="bleu", name="bleu", options={"lowercase": lowercase, "tokenize": tokenize}))
    texts, references = zip(*corpus, strict=True)
    theirs = sacrebleu.corpus_bleu(
        list(texts), list(zip(*references, strict=True)), lowercase=lowercase, tokenize=tokenize
    )
    assert metric.score(sums(metric, corpus)) == pytest.approx(theirs.score, abs=1e-9)


@given(corpus=corpora)
def test_parts_are_sacrebleus(corpus):
    metric = build(SPEC)
    texts, references = zip(*corpus, strict=True)
    theirs = sacrebleu.corpus_bleu(list(texts), list(zip(*references, strict=True)), smooth_method="none")
    parts = parts_of(metric, sums(metric, corpus))
    columns = zip(theirs.counts, theirs.totals, theirs.precisions, strict=True)
    matched = {n: value if count else 0.0 for n, (count, total, value) in enumerate(columns, start=1) if total}
    assert {n: parts[f"precision{n}"] for n in range(1, 5) if f"precision{n}" in parts} == pytest.approx(matched)
    assert (parts["words"], parts["reference_words"]) == (theirs.sys_len, theirs.ref_len)
    assert parts["brevity_penalty"] == pytest.approx(theirs.bp if theirs.sys_len else 0.0)


MORE = (
    "the The cat cat, 3.5 .5 5. 1-2 -a- a.b,c &amp; &amp;quot; &lt; <skipped> <skip ped>"
    " end-\n \n \t \x1c $5% it's über 日本 ... - \u2028 {x}"
)
texts = st.lists(st.sampled_from(MORE.split(" ")), max_size=14).flatmap(
    lambda pieces: st.sampled_from(["", " ", "  "]).map(lambda between: between.join(pieces))
) | st.text(max_size=30)


@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
@given(text=texts, references=st.lists(texts, min_size=1, max_size=3), lowercase=st.booleans())
def test_every_row_is_sacrebleus(tokenize, text, references, lowercase):
    options = {"lowercase": lowercase, "tokenize": tokenize}
    theirs = sacrebleu.BLEU(**options, effective_order=True, smooth_method="none").sentence_score(text, references)
    row = build(MetricSpec(id="bleu", name="bleu", options=options)).row(predicted(text, references))
    assert row == (theirs.sys_len, theirs.ref_len, *theirs.counts, *theirs.totals)


def test_references_may_differ_in_number_and_the_signature_is_sacrebleus():
    metric = build(SPEC)
    corpus = [
        ("the cat sat on the mat", ["a cat sat on the mat", "the cat sat on a mat"]),
        ("it is cold outside today", ["it is cold outside today"]),
    ]
    theirs = sacrebleu.BLEU()
    score = theirs.corpus_score(
        [text for text, _ in corpus], [[corpus[0][1][0], corpus[1][1][0]], [corpus[0][1][1], None]]
    ).score
    assert metric.score(sums(metric, corpus)) == pytest.approx(score, abs=1e-9)
    examples = [predicted(*pair).example for pair in corpus]
    assert facts_of(SPEC, metric, examples).signature == str(theirs.get_signature())
    assert facts_of(SPEC, metric, examples[:1]).signature.startswith(
        "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:"
    )


def test_identity_scores_100_and_nothing_scores_0():
    metric = build(SPEC)
    same = "it is very cold outside"
    assert metric.score(sums(metric, [(same, [same])])) == pytest.approx(100)
    assert metric.score(sums(metric, [("", [same])])) == 0
    assert metric.score(np.zeros((2, 3, 10))).tolist() == [[0, 0, 0], [0, 0, 0]]


@given(corpora)
def test_order_does_not_matter_bounds_hold_and_stacks_are_scored_alike(corpus):
    metric = build(SPEC)
    rows = np.array([metric.row(predicted(*pair)) for pair in corpus])
    weights = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=(2, 5))
    stacked = metric.score(weights @ rows)
    assert stacked.shape == (2, 5)
    assert ((stacked >= 0) & (stacked <= 100 + 1e-9)).all()
    assert stacked[1, 2] == metric.score(weights[1, 2] @ rows)
    assert metric.score(rows[::-1].sum(0)) == metric.score(rows.sum(0))


def test_scores_again_from_facts():
    metric = build(SPEC)
    row = sums(metric, [("a cat sat on the mat", ["the cat sat on the mat"])])
    assert from_facts(facts_of(SPEC, metric)).score(row) == metric.score(row)


def test_a_tokenizer_that_needs_a_download_is_refused():
    with pytest.raises(TaskError, match="flores200"):
        build(MetricSpec(id="bleu", name="bleu", options={"tokenize": "flores200"}))
