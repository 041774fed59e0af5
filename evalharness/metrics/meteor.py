"""Score generated text by METEOR (Lavie & Agarwal 2007), 0-1, computed by nltk, with or without synonyms."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.meteor_score import meteor_score

from evalharness.errors import TaskError
from evalharness.metrics import sentences, wordnet
from evalharness.metrics.base import Mean, one_of, options_of, written_text
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


class NoSynonyms:
    """Stands in for WordNet if only words and stems are to match."""

    def synsets(self, word: str) -> tuple[()]:
        return ()


def meteor(spec: MetricSpec) -> Metric:
    """Build the metric `meteor` with matches of words, Porter stems and WordNet synonyms; of several references the
    best one counts.

    Option: synonyms (`wordnet`, or `none` for words and stems alone). nltk looks up synonyms of the stems (of
    "chilli", not "chilly"), so it finds fewer than the paper means; so do published numbers that come from it. Raises
    TaskError if WordNet is needed and not installed.
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
    """Build the metric `meteor` with any object that has WordNet's `synsets(word)`; `edition` names that object in the
    signature.
    """
    tokenizer = NLTKWordTokenizer()

    def tokens(text: str) -> list[str]:
        # as nltk's `word_tokenize`, but with sentences split by rules that need no download
        return [token for line in sentences.one_per_line(text).split("\n") for token in tokenizer.tokenize(line)]

    def value(prediction: Prediction) -> float:
        text = written_text(prediction, spec.name)
        if not text:
            return 0.0
        references = [tokens(reference) for reference in prediction.example.references]
        return float(meteor_score(references, tokens(text), wordnet=synonyms))

    settings = f"alpha:0.9|beta:3|gamma:0.5|refs:max|tok:nltk-words+rules-{sentences.VERSION}|wordnet:{edition}"
    return Mean(spec.id, MetricKind.GRADED, f"meteor|{settings}|nltk:{version('nltk')}", value)
