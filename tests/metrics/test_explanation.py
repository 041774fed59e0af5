"""Worked examples of ROUGE and BLEU, as texts on fine-tuning print them, and where these use another definition."""

from __future__ import annotations

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from evalharness.errors import TaskError
from evalharness.metrics.explanation import GramMatch, explain
from evalharness.records.tasks import MetricSpec

COLD = "It is cold outside"
TEA = "I am very happy to say that I am drinking a warm cup of tea."


def of(name: str, output: str, *references: str, **options: object):
    return explain(MetricSpec(id=name, name=name, options=options), output, references)


@pytest.mark.parametrize(
    ("name", "output", "precision", "recall", "f1"),
    [
        ("rouge1", "It is very cold outside", 4 / 5, 4 / 4, 0.89),
        ("rouge2", "It is very cold outside", 2 / 4, 2 / 3, 0.57),
        # Printed as precision 2/5, recall 2/4, F1 0.44, which takes the longest common *substring*; the longest common
        # subsequence, which ROUGE-L is defined by (Lin 2004) and rouge-score computes, has 4 words.
        ("rougeL", "It is very cold outside", 4 / 5, 4 / 4, 0.89),
        ("rouge1", "It is not cold outside", 4 / 5, 4 / 4, 0.89),
        ("rouge1", "cold cold cold cold", 1 / 4, 1 / 4, 0.25),  # clipped: unclipped it would be 4/4
        ("rouge1", "outside cold it is", 1.0, 1.0, 1.0),
    ],
)
def test_rouge_of_the_worked_examples(name: str, output: str, precision: float, recall: float, f1: float) -> None:
    measures = of(name, output, COLD).measures
    assert (measures["precision"], measures["recall"]) == (precision, recall) and round(measures["f1"], 2) == f1
    theirs = RougeScorer([name]).score(COLD, output)[name]
    assert (measures["precision"], measures["recall"], measures["f1"]) == tuple(theirs)


@pytest.mark.parametrize(
    ("output", "bleu"),
    [
        ("I am very happy that I am drinking a cup of tea.", 49.53),
        ("I am very happy that I am drinking a warm cup of tea.", 72.98),
        (TEA, 100.0),
    ],
)
def test_bleu_of_the_worked_examples_is_that_of_words_between_spaces(output: str, bleu: float) -> None:
    """Printed as 0.495 and 0.730, a share in place of 0-100."""
    measures = of("bleu", output, TEA, tokenize="none").measures
    theirs = sacrebleu.corpus_bleu([output], [[TEA]], tokenize="none")
    assert round(measures["bleu"], 2) == bleu and measures["bleu"] == pytest.approx(theirs.score)
    assert [measures[f"precision{order}"] for order in range(1, 5)] == pytest.approx(theirs.precisions)
    assert measures["brevity_penalty"] == pytest.approx(theirs.bp)


def test_which_words_match_and_how_often_each_counts() -> None:
    assert of("rouge1", "cold cold cold cold", COLD).matches == (GramMatch("cold", 4, 1, 1),)
    assert of("rougeL", "It is very cold outside", COLD).subsequence == ("it", "is", "cold", "outside")
    stemmed = of("rouge2", "the cats ran", "a dog", "the cat ran", use_stemmer=True)
    assert stemmed.reference == "the cat ran"
    assert [each.gram for each in stemmed.matches] == ["the cat", "cat ran"]
    clipped = of("bleu", "the the the", "the cat", "the the dog")
    assert clipped.matches[0] == GramMatch("the", 3, 2, 2) and clipped.reference is None


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(TaskError, match="metric acc: has no explanation"):
        of("acc", "a", "b")
    with pytest.raises(TaskError, match="there is no reference"):
        of("rouge1", "a")
    with pytest.raises(TaskError, match="unknown option 'stemmer'"):
        of("rouge1", "a", "b", stemmer=True)


def test_what_a_metric_looks_for_and_what_is_there() -> None:
    found = of("instructions_share", "one\ntwo, three", '{"kind": "no_commas"}', '{"kind": "words", "least": 3}')
    assert found.measures == {"score": 0.5} and [each.held for each in found.observations] == [False, True]
    with pytest.raises(TaskError, match="check 1 has the unknown kind 'x'"):
        of("instructions", "text", '{"kind": "x"}')
