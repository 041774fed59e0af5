"""Score generated text by corpus BLEU, 0-100, from sacrebleu's sufficient statistics.

A row is [output length, reference length, matches of 1- to 4-grams, 1- to 4-grams of the output] (10 numbers), as
sacrebleu lays them out; the score of summed rows is sacrebleu's, in float64 and over any leading shape, so that it can
be computed without each unit in turn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics.base import Floats, flag, options_of
from evalharness.metrics.translation import of_counts
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec

ORDERS = 4
LOCAL_TOKENIZERS = ("13a", "intl", "char", "zh", "none")  # the others download a model or need another package


def bleu(spec: MetricSpec) -> Metric:
    """Options: lowercase (default false), tokenize (default 13a). Raises TaskError for a tokenizer that would have to
    be downloaded.
    """
    options = options_of(spec, ("lowercase", "tokenize"))
    lowercase, tokenize = flag(spec, options, "lowercase"), options.get("tokenize", "13a")
    if tokenize not in LOCAL_TOKENIZERS:
        raise TaskError(
            f"metric {spec.name}", f"tokenize is {tokenize!r}", did_you_mean(str(tokenize), LOCAL_TOKENIZERS)
        )
    # effective_order and no smoothing concern only the sentence's own score, which is not used; they keep sacrebleu
    # from warning.
    counter = BLEU(lowercase=lowercase, tokenize=tokenize, effective_order=True, smooth_method="none")

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        score = counter.sentence_score(text, list(references))
        return score.sys_len, score.ref_len, *score.counts, *score.totals

    settings = f"case:{'lc' if lowercase else 'mixed'}|eff:no|tok:{counter.tokenizer_signature}|smooth:exp"
    return of_counts(spec, settings, count, corpus_bleu, 2 + 2 * ORDERS)


def corpus_bleu(sums: Floats) -> Floats:
    """Compute BLEU (...), 0-100, of statistics (..., 10): geometric mean of clipped precisions times the brevity
    penalty (Papineni et al. 2002).

    The first order without a match counts 1 / (2 · n-grams), the next 1 / (4 · n-grams), … (sacrebleu `exp`). 0 where
    nothing matches, where the output has no 4-gram at all, and where there are no examples.
    """
    output, reference = sums[..., 0], sums[..., 1]
    matches, grams = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    halvings = np.cumsum(matches == 0, axis=-1)
    smoothed = np.where(matches == 0, 0.5**halvings, matches)
    usable = (matches > 0).any(-1) & (grams > 0).all(-1) & (output > 0)
    precisions = np.divide(smoothed, grams, out=np.ones(grams.shape), where=usable[..., None])
    short = np.divide(reference, output, out=np.ones(output.shape), where=usable)
    penalty = np.exp(np.minimum(0.0, 1.0 - short))
    return np.where(usable, 100.0 * penalty * np.exp(np.log(precisions).mean(-1)), 0.0)
