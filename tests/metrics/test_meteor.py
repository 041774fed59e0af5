"""METEOR with a small thesaurus in WordNet's place, against values worked out by the formula of Lavie & Agarwal
(2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem import PorterStemmer
from nltk.translate.meteor_score import meteor_score

from evalharness.errors import TaskError
from evalharness.metrics import wordnet
from evalharness.metrics.build import build
from evalharness.metrics.meteor import with_synonyms
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec


@dataclass(frozen=True)
class Lemma:
    word: str

    def name(self):
        return self.word


@dataclass(frozen=True)
class Synset:
    words: tuple[str, ...]

    def lemmas(self):
        return [Lemma(word) for word in self.words]


class Thesaurus:
    """What METEOR asks of WordNet."""

    def synsets(self, word):
        return [Synset(words) for words in (("cold", "chill"), ("home", "den", "dwelling_place")) if word in words]


SPEC = MetricSpec(id="meteor", name="meteor")
METEOR = with_synonyms(SPEC, Thesaurus(), "thesaurus")


def predicted(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
        text=text,
    )


def value(text, *references):
    row = METEOR.row(predicted(text, *references))
    assert row[1] == 1
    return row[0]


def formula(matches, chunks, written, right):
    precision, recall = matches / written, matches / right
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("it is cold", "it is cold", formula(3, 1, 3, 3)),
        ("It Is COLD", "it is cold", formula(3, 1, 3, 3)),  # case is nothing
        ("it is chill", "it is cold", formula(3, 1, 3, 3)),  # a synonym
        ("he was running home", "he was runs den", formula(4, 1, 4, 4)),  # a stem and a synonym
        ("cold is it", "it is cold", formula(3, 3, 3, 3)),  # out of order
        ("it is very cold outside", "it is cold", formula(3, 2, 5, 3)),
        ("über 猫 кот", "über 猫 кот", formula(3, 1, 3, 3)),
        ("nothing like that", "it is cold", 0.0),
        ("", "it is cold", 0.0),
        ("it is cold", "", 0.0),
    ],
)
def test_matches_chunks_and_lengths(text, reference, expected):
    assert value(text, reference) == pytest.approx(expected)


def test_the_best_reference_counts_and_no_text_scores_0():
    assert value("it is cold", "he went home", "it is cold") == value("it is cold", "it is cold")
    assert value(None, "it is cold") == 0


def test_sentences_are_split_before_words():
    text = "It is cold. He went home."
    tokens = ["It", "is", "cold", ".", "He", "went", "home", "."]
    assert value(text, text) == pytest.approx(meteor_score([tokens], tokens, wordnet=Thesaurus()))


def test_it_is_the_mean_of_values_from_0_to_1_and_signs_what_moves_it():
    assert (METEOR.kind, METEOR.low, METEOR.high, METEOR.higher_is_better) == ("graded", 0, 1, True)
    assert all(
        part in METEOR.signature
        for part in ("alpha:0.9", "beta:3", "gamma:0.5", "wordnet:thesaurus", "tok:nltk-words+rules-1", "nltk:")
    )


def aligned(output, reference, synonyms):
    """METEOR of words by its definition: three stages of matches, each from the last word back, then chunks."""
    stem = PorterStemmer().stem
    pairs, ours, theirs = [], dict(enumerate(output)), dict(enumerate(reference))
    stages = [
        lambda ours, theirs: ours == theirs,
        lambda ours, theirs: stem(ours) == stem(theirs),
        lambda ours, theirs: stem(theirs) in synonyms(stem(ours)),
    ]
    for same in stages:
        for at in sorted(ours, reverse=True):
            to = next((to for to in sorted(theirs, reverse=True) if same(ours[at], theirs[to])), None)
            if to is not None:
                pairs.append((at, to))
                del ours[at], theirs[to]
    if not pairs:
        return 0.0
    pairs.sort()
    steps = pairwise(pairs)
    chunks = 1 + sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in steps)
    return formula(len(pairs), chunks, len(output), len(reference))


vocabulary = ["cold", "chill", "home", "den", "house", "running", "runs", "walked", "strolled", "cheap", "the", "not"]
texts = st.lists(st.sampled_from(vocabulary), max_size=7)


@given(texts, st.lists(texts, min_size=1, max_size=3))
@settings(max_examples=40)
def test_random_and_degenerate_texts_as_the_definition_with_wordnet(output, references):
    found, _ = wordnet.find()

    def synonyms(word):
        return {lemma.name() for synset in found.synsets(word) for lemma in synset.lemmas()} | {word}

    of = {"": build(SPEC), "none": build(MetricSpec(id="meteor", name="meteor", options={"synonyms": "none"}))}
    prediction = predicted(" ".join(output), *map(" ".join, references))
    for name, metric in of.items():
        by = synonyms if not name else lambda word: {word}
        expected = max(aligned(output, reference, by) for reference in references)
        assert metric.row(prediction)[0] == pytest.approx(expected, abs=1e-9)


def test_synonyms_are_an_option_that_is_signed():
    none = build(MetricSpec(id="meteor", name="meteor", options={"synonyms": "none"}))
    assert "|wordnet:none|" in none.signature and "|wordnet:3.0" in build(SPEC).signature
    near = predicted("it is my home", "it is my place")
    assert build(SPEC).row(near)[0] > none.row(near)[0] > 0
    for options, said in (
        ({"synonyms": "some"}, "synonyms is 'some'; wordnet or none would be right"),
        ({"alpha": 0.5}, "unknown option 'alpha'"),
    ):
        with pytest.raises(TaskError, match=said):
            build(MetricSpec(id="meteor", name="meteor", options=options))


def test_without_wordnet_the_metric_says_what_to_install(monkeypatch):
    monkeypatch.setattr(wordnet, "find", lambda: None)
    with pytest.raises(TaskError, match=r"needs WordNet, which is not installed; `pip install 'evalharness\[nlg\]'`"):
        build(SPEC)
