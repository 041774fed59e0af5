"""Score generated text by METEOR (Lavie & Agarwal 2007), 0-1, as nltk computes it, with or without synonyms."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.meteor_score import meteor_score

from evalharness.errors import TaskError
from evalharness.metrics import sentences, wordnet
from evalharness.metrics.base import Mean, one_of, options_of, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


class NoSynonyms:
    """WordNet's place where words and stems alone are to match."""

    def synsets(self, word: str) -> tuple[()]:
        return ()


def meteor(spec: MetricSpec) -> Metric:
    """Matches of words, of their Porter stems, and of WordNet synonyms; with several references the best one counts.

    Options: synonyms (`wordnet`, or `none` for matches of words and stems alone).
    nltk looks for synonyms of the stems (of "chilli", not "chilly"), so that fewer are found than the paper means; the
    published numbers that come from it have that, too.
    Raises TaskError where WordNet is wanted and not installed.
    """
    if one_of(spec, options_of(spec, ("synonyms",)), "synonyms", ("wordnet", "none")) == "none":
        return with_synonyms(spec, NoSynonyms(), "none")
    if (installed := wordnet.find()) is None:
        fix = (
            "`pip install 'evalharness[nlg]'`, or nltk's copy (corpora/wordnet) in a folder that NLTK_DATA names; "
            "`synonyms: none` does without"
        )
        raise TaskError(f"metric {spec.name}", "needs WordNet, which is not installed", fix)
    return with_synonyms(spec, *installed)


def with_synonyms(spec: MetricSpec, synonyms: Any, edition: str) -> Metric:
    """METEOR with any object that has WordNet's `synsets(word)`; `edition` names it in the signature."""
    tokenizer = NLTKWordTokenizer()

    def tokens(text: str) -> list[str]:
        # nltk's word tokens, as of its `word_tokenize`, but with sentences split by rules that need no download.
        return [token for line in sentences.one_a_line(text).split("\n") for token in tokenizer.tokenize(line)]

    def value(prediction: Prediction) -> float:
        text = written(prediction, spec.name)
        if not text:
            return 0.0
        references = [tokens(reference) for reference in prediction.example.references]
        return float(meteor_score(references, tokens(text), wordnet=synonyms))

    settings = f"alpha:0.9|beta:3|gamma:0.5|refs:max|tok:nltk-words+rules-{sentences.VERSION}|wordnet:{edition}"
    return Mean(spec.id, MetricKind.GRADED, f"meteor|{settings}|nltk:{version('nltk')}", value)
