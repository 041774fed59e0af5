"""ROUGE against rouge-score's own scorer, and the course notes' examples."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.metrics.rouge import has_words, rouge_counts
from evalharness.metrics.sentences import one_per_line
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

TYPES = ("rouge1", "rouge2", "rouge3", "rouge9", "rougeL", "rougeLsum")
VOCABULARY = ["the", "cats", "running", "Runs", "ran", "12", "#Person1#", "said.", "No!", "cold-outside", "naïve"]
words = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
MORE = (
    "a the THE cat. Cats cat's running ran Ran. 3.5 7 x-ray co-operate naïve ΣΊΣΥΦΟΣ"
    " İstanbul \u212a 日本語 ß ... ! Dr. U.S. #P1# \n \t \x1c"
)
texts = st.lists(st.sampled_from(MORE.split(" ")), max_size=40).map(" ".join) | st.text(max_size=40)


def rouge(name, text, *references, stemmer=False, **options):
    metric = build(MetricSpec(id=name, name=name, options={"use_stemmer": stemmer, **options}))
    return metric.row(
        Prediction(
            example=Example(id="0", unit="0", prompt="", references=references),
            response=Generation(request_id="r", text=text, finish_reason="eos", tokens=1),
            text=text,
        )
    )[0]


def theirs(name, text, reference, stemmer):
    """Precision, recall and F of rouge-score, which takes lines for sentences."""
    return tuple(RougeScorer([name], use_stemmer=stemmer).score(one_per_line(reference), one_per_line(text))[name])


@pytest.mark.parametrize("name", TYPES)
@given(text=texts, reference=texts, stemmer=st.booleans())
def test_every_digit_is_rouge_scores(name, text, reference, stemmer):
    ours = rouge_counts(name, text, reference, stemmer)
    expected = theirs(name, text, reference, stemmer)
    assert (ours.precision, ours.recall, ours.f_measure) == expected
    assert rouge(name, text, reference, stemmer=stemmer) == expected[2]


@pytest.mark.parametrize("name", TYPES)
@given(text=texts, references=st.lists(texts, min_size=1, max_size=3))
def test_precision_and_recall_are_those_of_the_reference_that_rouge_scores_score_multi_takes(name, text, references):
    lines = [one_per_line(reference) for reference in references]
    multi = RougeScorer([name]).score_multi(lines, one_per_line(text))[name]
    ours = tuple(rouge(name, text, *references, stat=stat) for stat in ("precision", "recall", "f1"))
    assert ours == (tuple(multi) if text else (0.0, 0.0, 0.0))


def test_a_stat_that_is_none_is_refused():
    with pytest.raises(TaskError, match="metric rouge1: stat is 'fmeasure'; f1 or precision or recall would be right"):
        rouge("rouge1", "a", "a", stat="fmeasure")


def test_long_texts_of_many_sentences_have_the_same_digits():
    random = Random(0)
    for _ in range(4):
        text, reference = (
            " ".join(random.choice(VOCABULARY) + random.choice(["", "", "", "."]) for _ in range(120)) for _ in range(2)
        )
        for name in TYPES:
            assert rouge(name, text, reference, stemmer=True) == theirs(name, text, reference, True)[2]


@given(texts)
def test_has_words_where_rouge_score_reads_any(text):
    assert has_words(text) == bool(tokenize(text, None))


@given(text=words, references=st.lists(words, min_size=1, max_size=3))
def test_the_best_of_several_references_counts(text, references):
    for name in TYPES:
        assert rouge(name, text, *references) == max(rouge(name, text, reference) for reference in references)


@given(text=words, references=st.lists(words, min_size=1, max_size=3))
def test_or_their_mean_as_rouge_score_has_each(text, references):
    for name in TYPES:
        metric = build(MetricSpec(id=name, name=name, options={"references": "mean"}))
        found = metric.row(
            Prediction(
                example=Example(id="0", unit="0", prompt="", references=tuple(references)),
                response=Generation(request_id="r", text=text, finish_reason="eos", tokens=1),
                text=text,
            )
        )[0]
        each = [theirs(name, text, reference, False)[2] for reference in references]
        assert found == pytest.approx(sum(each) / len(each)), name
    assert "refs:mean" in metric.signature


def test_other_ways_to_count_references_are_refused():
    with pytest.raises(TaskError, match="references is 'median'; max or mean"):
        build(MetricSpec(id="rouge1", name="rouge1", options={"references": "median"}))


# Lecture notes on ROUGE: reference "It is cold outside"; recall 4/4 and precision 4/5 make F1 .89, bigrams 2/3 and 2/4
# make .57. They take a
# common substring of 2 for ROUGE-L (.44); the longest common subsequence has 4 words (Lin 2004), so .89 is right.
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rouge1", "It is very cold outside", 8 / 9),
        ("rouge2", "It is very cold outside", 4 / 7),
        ("rougeL", "It is very cold outside", 8 / 9),
        ("rouge1", "cold cold cold cold", 1 / 4),
        ("rouge1", "outside cold it is", 1.0),
        ("rougeL", "outside cold it is", 1 / 2),
        ("rouge1", "It is not cold outside", 8 / 9),
    ],
)
def test_the_notes_examples(name, text, expected):
    assert rouge(name, text, "It is cold outside") == pytest.approx(expected)


def test_sentences_may_change_places_in_lsum_only():
    there, back = "Ann is cold. Bob is out.", "Bob is out. Ann is cold."
    assert rouge("rougeLsum", there, back) == 1
    assert rouge("rougeL", there, back) < 1


def test_nothing_said_scores_nothing():
    assert [rouge(name, "", "It is cold") for name in TYPES] == [0] * len(TYPES)


def test_the_signature_names_what_moves_the_number():
    signature = build(MetricSpec(id="rougeLsum,stemmer", name="rougeLsum", options={"use_stemmer": True})).signature
    assert all(part in signature for part in ("rouge-score:", "stemmer:porter", "split:lines+rules-1"))
    assert signature != build(MetricSpec(id="rougeLsum", name="rougeLsum")).signature


def test_refuses_wrong_options():
    with pytest.raises(TaskError, match="did you mean use_stemmer"):
        build(MetricSpec(id="rouge1", name="rouge1", options={"stemmer": True}))
