"""chrF, chrF++ and TER against sacrebleu's corpus scores, and against lm-evaluation-harness's aggregations."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from evalharness.errors import TaskError
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

WORDS = ["the", "cat", "sat", "on", "a", "mat", ",", "It's", "3.5", "%", "über", ".", "猫", "кот", "(hi)", "&amp;"]
words = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
corpora = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.tuples(words, st.lists(words, min_size=n, max_size=n)), min_size=1, max_size=6)
)
chrf_options = st.fixed_dictionaries(
    {},
    optional={
        "char_order": st.integers(1, 7),
        "word_order": st.integers(0, 3),
        "beta": st.integers(1, 3),
        "lowercase": st.booleans(),
        "whitespace": st.booleans(),
    },
)
ter_options = st.fixed_dictionaries(
    {key: st.booleans() for key in ("normalized", "no_punct", "asian_support", "case_sensitive")}
)

CORPUS = [
    ("the cat sat on the mat", ["a cat sat on the mat", "the cat sat on a mat"]),
    ("it is cold outside today", ["it is cold outside today"]),
]


def metric(name, **options):
    return build(MetricSpec(id=name, name=name, options=options))


def predicted(text, references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=tuple(references)),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


def rows(of, corpus):
    return np.array([of.row(predicted(text, references)) for text, references in corpus])


def theirs(scorer, corpus):
    longest = max(len(references) for _, references in corpus)
    columns = [[references[at] if at < len(references) else None for _, references in corpus] for at in range(longest)]
    return scorer.corpus_score([text for text, _ in corpus], columns).score


@given(corpus=corpora, options=chrf_options)
def test_chrf_of_summed_rows_is_sacrebleus(corpus, options):
    ours = metric("chrf", **options)
    assert ours.score(rows(ours, corpus).sum(0)) == pytest.approx(theirs(sacrebleu.CHRF(**options), corpus), abs=1e-9)


@settings(max_examples=50)
@given(corpus=corpora, options=ter_options)
def test_ter_of_summed_rows_is_sacrebleus(corpus, options):
    ours = metric("ter", **options)
    assert ours.score(rows(ours, corpus).sum(0)) == pytest.approx(theirs(sacrebleu.TER(**options), corpus), abs=1e-9)


@settings(max_examples=25)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_as_lm_eval_aggregates(pairs):
    api = pytest.importorskip("lm_eval.api.metrics")
    items = [(reference, text) for text, reference in pairs]
    corpus = [(text, [reference]) for text, reference in pairs]
    for name, aggregate in (("chrf", api.chrf), ("chrf++", api.chrfpp), ("ter", api.ter)):
        ours = metric(name)
        assert ours.score(rows(ours, corpus).sum(0)) == pytest.approx(aggregate(items), abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "options", "scorer"),
    [
        ("chrf", {}, sacrebleu.CHRF()),
        ("chrf++", {}, sacrebleu.CHRF(word_order=2)),
        (
            "chrf",
            {"lowercase": True, "whitespace": True, "char_order": 4},
            sacrebleu.CHRF(lowercase=True, whitespace=True, char_order=4),
        ),
        ("ter", {}, sacrebleu.TER()),
        ("ter", {"case_sensitive": True, "normalized": True}, sacrebleu.TER(case_sensitive=True, normalized=True)),
        ("ter", {"no_punct": True, "asian_support": True}, sacrebleu.TER(no_punct=True, asian_support=True)),
    ],
)
def test_references_may_differ_in_number_and_the_signature_is_sacrebleus(name, options, scorer):
    ours, spec = metric(name, **options), MetricSpec(id=name, name=name, options=options)
    examples = [predicted(*pair).example for pair in CORPUS]
    for corpus, seen in ((CORPUS, examples), (CORPUS[1:], examples[1:])):
        assert ours.score(rows(ours, corpus).sum(0)) == pytest.approx(theirs(scorer, corpus), abs=1e-9)
        assert facts_of(spec, ours, seen).signature == str(scorer.get_signature())


def test_a_setting_that_sacrebleus_signature_leaves_out_is_in_ours():
    assert metric("chrf", beta=3).signature != metric("chrf").signature


@given(corpora)
@settings(max_examples=25)
def test_order_does_not_matter_bounds_hold_and_stacks_are_scored_alike(corpus):
    for name in ("chrf", "chrf++", "ter"):
        ours = metric(name)
        table = rows(ours, corpus)
        sums = (
            np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), size=(2, 5)) @ table
        )
        stacked = ours.score(sums)
        assert stacked.shape == (2, 5) and stacked[1, 2] == ours.score(sums[1, 2])
        assert (stacked >= 0).all() and (name == "ter" or (stacked <= 100 + 1e-9).all())
        assert ours.score(table[::-1].sum(0)) == pytest.approx(ours.score(table.sum(0)))
        spec = MetricSpec(id=name, name=name)
        assert from_facts(facts_of(spec, ours)).score(table.sum(0)) == ours.score(table.sum(0))


def test_the_ends_of_the_scales():
    for name, best in (("chrf", 100), ("chrf++", 100), ("ter", 0)):
        ours = metric(name)
        worst = 100 - best
        assert ours.score(rows(ours, CORPUS[1:]).sum(0)) == pytest.approx(best)
        assert ours.score(rows(ours, [("", ["a cat"]), (None, ["b"])]).sum(0)) == worst
        assert ours.score(rows(ours, [("", [""])]).sum(0)) == 0
    assert metric("ter").score(rows(metric("ter"), [("a b c", [""])]).sum(0)) == 100
    assert (
        metric("ter").score(rows(metric("ter"), [("a b c d", ["x"])]).sum(0)) == 400
    )  # longer than right can be worse than nothing


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("chrf", {"char_order": 0}, "from 1 to 10"),
        ("chrf", {"word_order": -1}, "from 0 to 10"),
        ("chrf", {"beta": "2"}, "from 1 to 10"),
        ("chrf", {"beta": True}, "from 1 to 10"),
        ("chrf", {"lower": True}, "did you mean lowercase"),
        ("ter", {"normalized": "yes"}, "true or false"),
        ("ter", {"word_order": 2}, "unknown option"),
    ],
)
def test_refuses_wrong_options(name, options, message):
    with pytest.raises(TaskError, match=message):
        metric(name, **options)
