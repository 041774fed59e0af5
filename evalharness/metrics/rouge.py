"""Score generated text by ROUGE-1, -2, -L and -Lsum F-measures, as the rouge-score package computes them.

-Lsum compares sentence by sentence; rouge-score takes each line for a sentence, so texts are first put one sentence a
line by rules of ours (`sentences`), whose version is in the signature. With several references the best one counts, or
the mean over them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.metadata import version

from nltk.stem import porter
from rouge_score import rouge_scorer, tokenize, tokenizers

from evalharness.errors import TaskError
from evalharness.metrics import sentences
from evalharness.metrics.base import Mean, flag, options_of, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind


def rouge(spec: MetricSpec) -> Metric:
    """The F-measure that the entry's name says (rouge1, rouge2, rougeL, rougeLsum), 0-1.

    Options: use_stemmer (Porter), off by default; references, which of several count: `max` (default) or `mean`. Raises
    TaskError.
    """
    options = options_of(spec, ("use_stemmer", "references"))
    stemmed, several = flag(spec, options, "use_stemmer"), options.get("references", "max")
    if several not in ("max", "mean"):
        raise TaskError(f"metric {spec.name}", f"references is {several!r}", "max or mean would be right")
    scorer = rouge_scorer.RougeScorer([spec.name], tokenizer=_tokenizer(stemmed))
    by_sentence = spec.name == "rougeLsum"

    def value(prediction: Prediction) -> float:
        text = written(prediction, spec.name)
        if not text:
            return 0.0
        texts = (text, *prediction.example.references)
        output, *references = (sentences.one_a_line(text) for text in texts) if by_sentence else texts
        scores = [float(scorer.score(reference, output)[spec.name].fmeasure) for reference in references]
        return max(scores) if several == "max" else math.fsum(scores) / len(scores)

    return Mean(spec.id, MetricKind.GRADED, _signature(spec.name, stemmed, several), value)


def has_words(text: str) -> bool:
    """Is there anything that rouge-score reads? Its words are of the letters a to z and digits."""
    return bool(tokenize.tokenize(text, None))


def _signature(name: str, stemmed: bool, references: str) -> str:
    stemmer = f"porter-nltk-{version('nltk')}" if stemmed else "no"
    split = f"|split:lines+rules-{sentences.VERSION}" if name == "rougeLsum" else ""
    return f"{name}|stat:f|refs:{references}|stemmer:{stemmer}{split}|rouge-score:{version('rouge-score')}"


class RememberingTokenizer(tokenizers.Tokenizer):  # type: ignore[misc]
    """rouge-score's own tokenizer, remembering words and texts: four ROUGE metrics read the same texts, and Porter's
    rules are slow.
    """

    def __init__(self, stemmed: bool) -> None:
        self.stem = lru_cache(maxsize=1 << 16)(porter.PorterStemmer().stem)
        self._tokens = lru_cache(maxsize=1 << 12)(lambda text: tokenize.tokenize(text, self if stemmed else None))

    def tokenize(self, text: str) -> list[str]:
        tokens: list[str] = self._tokens(text)
        return tokens


@lru_cache(maxsize=2)
def _tokenizer(stemmed: bool) -> RememberingTokenizer:
    return RememberingTokenizer(stemmed)
