"""Score generated text by CIDEr-D (Vedantam et al. 2015), 0 to 10, with the numbers of pycocoevalcap.

The rarity of an n-gram is counted over all references of the corpus. So the score cannot be computed from sums of
rows, and the metric is opaque (one number for all predictions, without an interval).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import fmean

from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evalharness.metrics.base import Opaque, written_text
from evalharness.metrics.ngrams import ngrams
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec

LONGEST, SIGMA = 4, 6.0
Grams = list[Counter[tuple[str, ...]]]  # for each length from 1 to LONGEST, the counts of n-grams in a text


def cider(spec: MetricSpec) -> Metric:
    """Build the metric `cider`: the mean cosine of 1- to 4-grams weighted by rarity, with CIDEr-D's clipped counts and
    length penalty. No options. A single example scores 0: no n-gram is rarer than another.

    Tokens are those of mteval-v13a in lower case, because pycocoevalcap's own tokenizer is a Java program.
    """
    tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]

    def value(predictions: Sequence[Prediction]) -> float:
        outputs = [tokenizer((written_text(each, spec.id) or "").lower()).split() for each in predictions]
        references = [[tokenizer(text.lower()).split() for text in each.example.references] for each in predictions]
        return fmean(scores(outputs, references)) if predictions else 0.0

    signature = f"cider|d|n:{LONGEST}|sigma:{SIGMA:g}|case:lc|tok:13a|sacrebleu:{version('sacrebleu')}"
    return Opaque(id=spec.id, signature=signature, low=0.0, high=10.0, value=value)


def scores(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """Compute CIDEr-D of each output (as tokens) with its references. Rarity is counted over all `references`."""
    right = [[_grams(reference) for reference in each] for each in references]
    holding = Counter(gram for each in right for gram in {gram for text in each for counts in text for gram in counts})
    rarity = {gram: math.log(len(references) / count) for gram, count in holding.items()}
    unseen = math.log(max(1, len(references)))

    def weights(grams: Grams) -> list[dict[tuple[str, ...], float]]:
        return [{gram: count * rarity.get(gram, unseen) for gram, count in counts.items()} for counts in grams]

    def score(output: Sequence[str], texts: Sequence[Grams]) -> float:
        grams = _grams(output)
        weighed = weights(grams)
        return 10 * fmean([_likeness(weighed, weights(text)) * _by_length(grams, text) for text in texts] or [0.0])

    return [score(output, texts) for output, texts in zip(outputs, right, strict=True)]


def _grams(tokens: Sequence[str]) -> Grams:
    return [Counter(ngrams(tokens, n)) for n in range(1, LONGEST + 1)]


def _likeness(output: list[dict[tuple[str, ...], float]], reference: list[dict[tuple[str, ...], float]]) -> float:
    """Return the mean over n-gram lengths of the cosine of weights, the output's clipped to the reference's."""
    cosines = []
    for ours, theirs in zip(output, reference, strict=True):
        size = math.hypot(*ours.values()) * math.hypot(*theirs.values())
        shared = sum(min(weight, theirs[gram]) * theirs[gram] for gram, weight in ours.items() if gram in theirs)
        cosines.append(shared / size if size else 0.0)
    return fmean(cosines)


def _by_length(output: Grams, reference: Grams) -> float:
    """Return the penalty for another length, counted in bigrams as in pycocoevalcap."""
    return math.exp(-((output[1].total() - reference[1].total()) ** 2) / (2 * SIGMA**2))
