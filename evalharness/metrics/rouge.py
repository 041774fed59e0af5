"""Score generated text by ROUGE-N, -L and -Lsum, exactly as the rouge-score package, but much faster.

-Lsum compares sentence by sentence; for rouge-score each line is a sentence, so our rules (`sentences`) first put each
sentence on its own line; their version is in the signature. Of several references the one with the best F-measure
counts, as in rouge-score's `score_multi`, or the mean over them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from importlib.metadata import version
from itertools import chain, groupby
from typing import Any, NamedTuple

from nltk.stem import porter
from rouge_score.scoring import fmeasure

from evalharness.metrics import sentences
from evalharness.metrics.base import Mean, flag, one_of, options_of, written_text
from evalharness.metrics.lcs import lcs_length, matched_places, places
from evalharness.metrics.ngrams import matches, ngrams
from evalharness.metrics.remembered import Remembered
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

WORD, WORD_OR_END = re.compile("[a-z0-9]+"), re.compile("[a-z0-9]+|\n")  # of a text in lower case
STEMMED_FROM = 4  # letters; rouge-score does not stem shorter words
STATS = ("f1", "precision", "recall")
MOST_OF_WORDS, MOST_OF_TEXTS = 1 << 21, 1 << 24  # remembered characters: 20,000 texts of 150 words


def rouge(spec: MetricSpec) -> Metric:
    """Build the ROUGE metric that the spec names (rouge1 to rouge9, rougeL, rougeLsum), 0-1.

    Options: stat: f1 (default), precision or recall; use_stemmer (Porter), off by default; references: `max` (default)
    or `mean` of several. Raises TaskError.
    """
    options = options_of(spec, ("use_stemmer", "references", "stat"))
    stemmed, several = flag(spec, options, "use_stemmer"), one_of(spec, options, "references", ("max", "mean"))
    stat = one_of(spec, options, "stat", STATS)

    def value(prediction: Prediction) -> float:
        text = written_text(prediction, spec.name)
        if not text:
            return 0.0
        references = prediction.example.references
        counts = [rouge_counts(spec.name, text, reference, stemmed) for reference in references]
        if several == "max":
            return max(counts, key=lambda each: each.f_measure).score(stat)
        return math.fsum(each.score(stat) for each in counts) / len(counts)

    return Mean(spec.id, MetricKind.GRADED, _signature(spec.name, stemmed, several, stat), value)


def rouge_counts(name: str, output: str, reference: str, stemmed: bool) -> RougeCounts:
    """Count what two texts have in common by the ROUGE metric of this name."""
    read = _read(stemmed)[name == "rougeLsum"]
    return _counts(name)(read[reference], read[output])


def rouge_words(text: str, stemmed: bool) -> list[str]:
    """Return the words of a text as ROUGE splits it."""
    return _read(stemmed)[0][text]


def has_words(text: str) -> bool:
    """Return whether ROUGE finds any words in a text. They consist of the letters a to z and digits."""
    return WORD.search(text.lower()) is not None


def _signature(name: str, stemmed: bool, references: str, stat: str) -> str:
    stemmer = f"porter-nltk-{version('nltk')}" if stemmed else "no"
    split = f"|split:lines+rules-{sentences.VERSION}" if name == "rougeLsum" else ""
    counted = f"stat:{stat.removesuffix('1')}|refs:{references}|stemmer:{stemmer}{split}"
    return f"{name}|{counted}|rouge-score:{version('rouge-score')}"


class RougeCounts(NamedTuple):
    """The numbers of words or n-grams that match between an output and a reference, and of all in each of the two."""

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

    def score(self, stat: str) -> float:
        """Return the score named by one of STATS: F1, precision or recall."""
        return {"f1": self.f_measure, "precision": self.precision, "recall": self.recall}[stat]


def _unigrams(reference: Sequence[str], output: Sequence[str]) -> RougeCounts:
    return RougeCounts(matches(reference, output), len(output), len(reference))


def _ngrams(reference: Sequence[str], output: Sequence[str], order: int) -> RougeCounts:
    theirs, ours = ngrams(reference, order), ngrams(output, order)
    return RougeCounts(matches(theirs, ours), len(ours), len(theirs))


def _subsequence(reference: Sequence[str], output: Sequence[str]) -> RougeCounts:
    return RougeCounts(lcs_length(reference, output), len(output), len(reference))


def _by_sentence(reference: Sequence[Sequence[str]], output: Sequence[Sequence[str]]) -> RougeCounts:
    """Count for -Lsum the words of each reference sentence that are in its LCS with any sentence of the output.

    No word counts more often than the output has it.
    """
    if len(reference) == 1 == len(output):
        return _subsequence(reference[0], output[0])
    available, hits = Counter(chain.from_iterable(output)), 0
    for sentence in reference:
        masks, matched = places(sentence), 0
        for other in output:
            matched |= matched_places(masks, len(sentence), other)
        for word in masks.keys() & available.keys() if matched else ():
            often = min((masks[word] & matched).bit_count(), available[word])
            available[word] -= often
            hits += often
    return RougeCounts(hits, sum(map(len, output)), sum(map(len, reference)))


@cache
def _counts(name: str) -> Callable[[Any, Any], RougeCounts]:
    by_name = {"rouge1": _unigrams, "rougeL": _subsequence, "rougeLsum": _by_sentence}
    return by_name.get(name) or partial(_ngrams, order=int(name.removeprefix("rouge")))


@lru_cache(maxsize=2)
def _read(stemmed: bool) -> tuple[Remembered[list[str]], Remembered[list[list[str]]]]:
    """Return the caches of the words of texts, and of the words of their sentences that have any."""
    stem = porter.PorterStemmer().stem
    stems = Remembered(lambda word: str(stem(word)) if len(word) >= STEMMED_FROM else word, MOST_OF_WORDS)

    def words(text: str, pattern: re.Pattern[str] = WORD) -> list[str]:
        plain = pattern.findall(text.lower())
        return [*filter(None, map(stems.__getitem__, plain))] if stemmed else plain

    def by_sentence(text: str) -> list[list[str]]:
        pieces = words(sentences.one_per_line(text), WORD_OR_END)
        return [[*group] for within, group in groupby(pieces, "\n".__ne__) if within]

    return Remembered(words, MOST_OF_TEXTS), Remembered(by_sentence, MOST_OF_TEXTS)
