"""Score generated text by corpus BLEU, 0-100, from sacrebleu's sufficient statistics, with its tokenizers.

A row is [output length, reference length, matches of 1- to 4-grams, 1- to 4-grams of the output] (10 numbers), as in
sacrebleu; the score of summed rows is sacrebleu's, in float64 and over any leading shape, so that it can be computed
without each unit in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain
from operator import or_

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics.base import Floats, flag, options_of
from evalharness.metrics.ngrams import matches, ngrams
from evalharness.metrics.remembered import Remembered
from evalharness.metrics.translation import of_counts
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec

ORDERS = 4
REPLACED = ("&", "-\n", "<skipped>")  # by 13a, before it splits
MOST_OF_PIECES = 1 << 21  # remembered characters
LOCAL_TOKENIZERS = ("13a", "intl", "char", "zh", "none")  # the others download a model or need another package


def bleu(spec: MetricSpec) -> Metric:
    """Build the metric `bleu`, corpus BLEU. Options: lowercase (default false), tokenize (default 13a). Raises
    TaskError for a tokenizer that would have to be downloaded.
    """
    counter, words = _counter(spec), words_of(spec)

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        return statistics(words(text), [words(each) for each in references])

    settings = f"case:{'lc' if counter.lowercase else 'mixed'}|eff:no|tok:{counter.tokenizer_signature}|smooth:exp"
    return of_counts(spec, settings, count, corpus_bleu, 2 + 2 * ORDERS, bleu_parts)


def words_of(spec: MetricSpec) -> Callable[[str], list[str]]:
    """Return the function that splits a text into words by the options of a task's entry. Raises TaskError for wrong
    options.
    """
    counter = _counter(spec)
    tokenizer = counter.tokenizer
    split = (
        _words_13a(tokenizer) if spec.options.get("tokenize", "13a") == "13a" else lambda text: tokenizer(text).split()
    )
    return lambda text: split((text.lower() if counter.lowercase else text).rstrip())


def _counter(spec: MetricSpec) -> BLEU:
    options = options_of(spec, ("lowercase", "tokenize"))
    lowercase, tokenize = flag(spec, options, "lowercase"), options.get("tokenize", "13a")
    if tokenize not in LOCAL_TOKENIZERS:
        raise TaskError(
            f"metric {spec.name}", f"tokenize is {tokenize!r}", did_you_mean(str(tokenize), LOCAL_TOKENIZERS)
        )
    return BLEU(lowercase=lowercase, tokenize=tokenize)


def _words_13a(tokenizer: Callable[[str], str]) -> Callable[[str], list[str]]:
    """Split texts as 13a does, each piece between white space only once: its patterns do not cross white space, except
    for what it removes or replaces first.
    """
    pieces = Remembered(lambda piece: tokenizer(piece).split(), MOST_OF_PIECES)

    def words(text: str) -> list[str]:
        if any(each in text for each in REPLACED):
            return tokenizer(text).split()
        return [*chain.from_iterable(map(pieces.__getitem__, text.split()))]

    return words


def statistics(output: Sequence[str], references: Sequence[Sequence[str]]) -> list[int]:
    """Return the row of an output and its references, all as words.

    The nearest reference length counts, of two equally near the shorter one. Each n-gram counts at most as often as in
    the reference that has it most often.
    """
    length = len(output)
    nearest = min((abs(length - each), each) for each in map(len, references))[1]
    matching = [0] * ORDERS
    for order in range(1, ORDERS + 1):
        ours, theirs = ngrams(output, order), [ngrams(reference, order) for reference in references]
        most = theirs[0] if len(theirs) == 1 else [*reduce(or_, map(Counter, theirs)).elements()]
        matching[order - 1] = matches(ours, most)
        if not matching[order - 1]:  # then no longer n-gram matches either
            break
    return [length, nearest, *matching, *(max(0, length - order) for order in range(ORDERS))]


def corpus_bleu(sums: Floats) -> Floats:
    """Compute BLEU (...), 0-100, from sums of rows (..., 10).

    It is the geometric mean of clipped precisions times the brevity penalty (Papineni et al. 2002). The first order
    without a match counts 1 / (2 · n-grams), the next 1 / (4 · n-grams), … (sacrebleu `exp`). It is 0 if nothing
    matches, if the output has no 4-gram, and without examples.
    """
    matches, grams = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    halvings = np.cumsum(matches == 0, axis=-1)
    smoothed = np.where(matches == 0, 0.5**halvings, matches)
    usable = (matches > 0).any(-1) & (grams > 0).all(-1) & (sums[..., 0] > 0)
    precisions = np.divide(smoothed, grams, out=np.ones(grams.shape), where=usable[..., None])
    return np.where(usable, 100.0 * _brevity_penalty(sums) * np.exp(np.log(precisions).mean(-1)), 0.0)


def bleu_parts(sums: Floats) -> dict[str, float]:
    """Return the parts of BLEU of one sum of rows (10,).

    They are the modified precisions of 1- to 4-grams, 0-100, not smoothed, for orders that the outputs have; the
    brevity penalty, 0-1; and the numbers of words of the outputs, and of the references nearest to them in length.
    """
    matches, grams = sums[2 : 2 + ORDERS], sums[2 + ORDERS :]
    return {
        **{f"precision{n + 1}": 100.0 * float(matches[n] / grams[n]) for n in range(ORDERS) if grams[n]},
        "brevity_penalty": float(_brevity_penalty(sums)),
        "words": float(sums[0]),
        "reference_words": float(sums[1]),
    }


def _brevity_penalty(sums: Floats) -> Floats:
    """Compute exp(1 − reference / output) if the output is shorter, else 1; 0 without output."""
    output, reference = sums[..., 0], sums[..., 1]
    short = np.divide(reference, output, out=np.full(output.shape, np.inf), where=output > 0)
    return np.asarray(np.exp(np.minimum(0.0, 1.0 - short)))
