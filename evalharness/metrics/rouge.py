"""Score generated text by ROUGE-1, -2, -L and -Lsum F-measures, to the digit as the rouge-score package computes them,
but in a small part of its time.

-Lsum compares sentence by sentence; rouge-score takes each line for a sentence, so texts are first put one sentence a
line by rules of ours (`sentences`), whose version is in the signature. With several references the best one counts, or
the mean over them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import chain, groupby
from typing import Any, NamedTuple

from nltk.stem import porter
from rouge_score.scoring import fmeasure

from evalharness.errors import TaskError
from evalharness.metrics import sentences
from evalharness.metrics.base import Mean, flag, options_of, written
from evalharness.metrics.lcs import lcs_length, matched_places, places
from evalharness.metrics.ngrams import matches, ngrams
from evalharness.metrics.remembered import Remembered
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

WORD, WORD_OR_END = re.compile("[a-z0-9]+"), re.compile("[a-z0-9]+|\n")  # of a text in lower case
STEMMED_FROM = 4  # letters; rouge-score leaves shorter words as they are
MOST_OF_WORDS, MOST_OF_TEXTS = 1 << 21, 1 << 24  # characters that are remembered: 20,000 texts of 150 words


def rouge(spec: MetricSpec) -> Metric:
    """The F-measure that the entry's name says (rouge1, rouge2, rougeL, rougeLsum), 0-1.

    Options: use_stemmer (Porter), off by default; references, which of several count: `max` (default) or `mean`. Raises
    TaskError.
    """
    options = options_of(spec, ("use_stemmer", "references"))
    stemmed, several = flag(spec, options, "use_stemmer"), options.get("references", "max")
    if several not in ("max", "mean"):
        raise TaskError(f"metric {spec.name}", f"references is {several!r}", "max or mean would be right")

    def value(prediction: Prediction) -> float:
        text = written(prediction, spec.name)
        if not text:
            return 0.0
        references = prediction.example.references
        scores = [rouge_counts(spec.name, text, reference, stemmed).f_measure for reference in references]
        return max(scores) if several == "max" else math.fsum(scores) / len(scores)

    return Mean(spec.id, MetricKind.GRADED, _signature(spec.name, stemmed, several), value)


def rouge_counts(name: str, output: str, reference: str, stemmed: bool) -> RougeCounts:
    """What two texts have in common, as the metric of that name counts it."""
    read = _read(stemmed)[name == "rougeLsum"]
    return _COUNTS[name](read[reference], read[output])


def has_words(text: str) -> bool:
    """Is there anything that ROUGE reads? Its words are of the letters a to z and digits."""
    return WORD.search(text.lower()) is not None


def _signature(name: str, stemmed: bool, references: str) -> str:
    stemmer = f"porter-nltk-{version('nltk')}" if stemmed else "no"
    split = f"|split:lines+rules-{sentences.VERSION}" if name == "rougeLsum" else ""
    return f"{name}|stat:f|refs:{references}|stemmer:{stemmer}{split}|rouge-score:{version('rouge-score')}"


class RougeCounts(NamedTuple):
    """How many words or n-grams of an output match those of a reference, and how many either has."""

    matches: int
    output: int
    reference: int

    @property
    def precision(self) -> float:
        return self.matches / max(self.output, 1)

    @property
    def recall(self) -> float:
        return self.matches / max(self.reference, 1)

    @property
    def f_measure(self) -> float:
        return float(fmeasure(self.precision, self.recall))


def _unigrams(reference: Sequence[str], output: Sequence[str]) -> RougeCounts:
    return RougeCounts(matches(reference, output), len(output), len(reference))


def _bigrams(reference: Sequence[str], output: Sequence[str]) -> RougeCounts:
    theirs, ours = ngrams(reference, 2), ngrams(output, 2)
    return RougeCounts(matches(theirs, ours), len(ours), len(theirs))


def _subsequence(reference: Sequence[str], output: Sequence[str]) -> RougeCounts:
    return RougeCounts(lcs_length(reference, output), len(output), len(reference))


def _by_sentence(reference: Sequence[Sequence[str]], output: Sequence[Sequence[str]]) -> RougeCounts:
    """The words of each reference sentence that its LCS with any sentence of the output takes, none more often than the
    output has it.
    """
    if len(reference) == 1 == len(output):
        return _subsequence(reference[0], output[0])
    left, hits = Counter(chain.from_iterable(output)), 0
    for sentence in reference:
        masks, taken = places(sentence), 0
        for other in output:
            taken |= matched_places(masks, len(sentence), other)
        for word in masks.keys() & left.keys() if taken else ():
            often = min((masks[word] & taken).bit_count(), left[word])
            left[word] -= often
            hits += often
    return RougeCounts(hits, sum(map(len, output)), sum(map(len, reference)))


_COUNTS: Mapping[str, Callable[[Any, Any], RougeCounts]] = {
    "rouge1": _unigrams,
    "rouge2": _bigrams,
    "rougeL": _subsequence,
    "rougeLsum": _by_sentence,
}


@lru_cache(maxsize=2)
def _read(stemmed: bool) -> tuple[Remembered[list[str]], Remembered[list[list[str]]]]:
    """The words of a text, and of each of its sentences that has any."""
    stem = porter.PorterStemmer().stem
    stems = Remembered(lambda word: str(stem(word)) if len(word) >= STEMMED_FROM else word, MOST_OF_WORDS)

    def words(text: str, pattern: re.Pattern[str] = WORD) -> list[str]:
        plain = pattern.findall(text.lower())
        return [*filter(None, map(stems.__getitem__, plain))] if stemmed else plain

    def by_sentence(text: str) -> list[list[str]]:
        pieces = words(sentences.one_a_line(text), WORD_OR_END)
        return [[*group] for within, group in groupby(pieces, "\n".__ne__) if within]

    return Remembered(words, MOST_OF_TEXTS), Remembered(by_sentence, MOST_OF_TEXTS)
