"""Score generated text by corpus NIST (Doddington 2002), with the counts and lengths of the script mteval-v13a.

The information of an n-gram is counted over all references of the corpus. So the score cannot be computed from sums of
rows, and the metric is opaque (one number for all predictions, without an interval). nltk's `corpus_nist` agrees with
the script for one reference per example, but not for several: it uses the matches of a single one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from importlib.metadata import version
from operator import or_
from statistics import fmean

from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evalharness.metrics.base import Opaque, flag, options_of, whole_number, written_text
from evalharness.metrics.ngrams import ngrams
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec

Gram = tuple[str, ...]


def nist(spec: MetricSpec) -> Metric:
    """Build the metric `nist`, corpus NIST with the tokens of mteval-v13a, lower case unless `case_sensitive`. `high`
    is for display; larger scores are possible.

    Options: n (5), the longest n-gram; case_sensitive (false).
    """
    options = options_of(spec, ("n", "case_sensitive"))
    order, cased = whole_number(spec, options, "n", 5, 1, 10), flag(spec, options, "case_sensitive")
    tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]

    def tokens(text: str) -> list[str]:
        return tokenizer(text if cased else text.lower()).split()

    def value(predictions: Sequence[Prediction]) -> float:
        outputs = [tokens(written_text(prediction, spec.id) or "") for prediction in predictions]
        references = [[tokens(text) for text in prediction.example.references] for prediction in predictions]
        return score(outputs, references, order)

    signature = f"nist|n:{order}|case:{'mixed' if cased else 'lc'}|refs:mteval|tok:13a|sacrebleu:{version('sacrebleu')}"
    return Opaque(id=spec.id, signature=signature, low=0.0, high=20.0, value=value)


def score(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], order: int) -> float:
    """Compute NIST of outputs, as tokens.

    The count of an n-gram is clipped to its largest count in one reference. The reference length is the mean over an
    example's references. An order without n-grams in the outputs adds nothing.
    """
    informs = _information([text for texts in references for text in texts], order)
    total = 0.0
    for n in range(1, order + 1):
        gained = there = 0.0
        for output, texts in zip(outputs, references, strict=True):
            grams = Counter(ngrams(output, n))
            most: Counter[Gram] = reduce(or_, (Counter(ngrams(text, n)) for text in texts), Counter())
            gained += sum(count * informs[gram] for gram, count in (grams & most).items())
            there += grams.total()
        total += gained / there if there else 0.0
    right = sum(fmean(map(len, texts)) for texts in references if texts)
    return total * _by_length(sum(map(len, outputs)) / right if right else 0.0)


def _information(texts: Sequence[Sequence[str]], order: int) -> dict[Gram, float]:
    """Return for each n-gram the bits that its last word adds to the words before."""
    counts: Counter[Gram] = Counter({(): sum(map(len, texts))})
    for n in range(1, order + 1):
        for text in texts:
            counts.update(ngrams(text, n))
    return {gram: math.log2(counts[gram[:-1]] / count) for gram, count in counts.items() if gram}


def _by_length(ratio: float) -> float:
    """Return the length penalty: 1 for outputs as long as their references or longer, 0.5 at two thirds of
    the length.
    """
    if not 0 < ratio < 1:
        return min(max(ratio, 0.0), 1.0)
    return math.exp(math.log(0.5) * (math.log(ratio) / math.log(1.5)) ** 2)
