"""METEOR with a small thesaurus in WordNet's place, against values worked out by the formula of Lavie & Agarwal
(2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from nltk.corpus import wordnet
from nltk.translate.meteor_score import meteor_score

from evalharness.errors import TaskError
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


def value(text, *references):
    row = METEOR.row(
        Prediction(
            example=Example(id="0", unit="0", prompt="", references=references),
            response=Generation(request_id="r", text=text or "", finish_reason="eos", tokens=1),
            text=text,
        )
    )
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


def test_without_wordnet_the_metric_says_what_to_install():
    try:
        wordnet.ensure_loaded()
    except LookupError:
        with pytest.raises(
            TaskError,
            match=r"metric meteor: needs nltk's WordNet data, which is not installed; "
            r"`python -m nltk\.downloader wordnet`",
        ):
            build(SPEC)
    else:
        assert build(SPEC).signature.startswith("meteor|")
    with pytest.raises(TaskError, match="unknown option 'alpha'; it takes none"):
        build(MetricSpec(id="meteor", name="meteor", options={"alpha": 0.5}))
