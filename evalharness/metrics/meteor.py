"""Score generated text by METEOR (Lavie & Agarwal 2007), 0-1, as nltk computes it with its copy of WordNet."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from nltk.corpus import wordnet
from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.meteor_score import meteor_score

from evalharness.errors import TaskError
from evalharness.metrics import sentences
from evalharness.metrics.base import Mean, options_of, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def meteor(spec: MetricSpec) -> Metric:
    """Matches of words, of their Porter stems, and of WordNet synonyms; with several references the best one counts.

    nltk looks for synonyms of the stems (of "chilli", not "chilly"), so that fewer are found than the paper means; the
    published numbers that come from it have that, too.
    Raises TaskError where WordNet is not installed.
    """
    options_of(spec, ())
    try:
        wordnet.ensure_loaded()
    except LookupError:
        fix = "`python -m nltk.downloader wordnet` while online, or its copy in a folder that NLTK_DATA names"
        raise TaskError(f"metric {spec.name}", "needs nltk's WordNet data, which is not installed", fix) from None
    return with_synonyms(spec, wordnet, wordnet.get_version())


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
