"""Score generated text by corpus chrF, chrF++ and TER, from sacrebleu's sufficient statistics.

As for BLEU, scores of summed rows are sacrebleu's, in float64 and over any leading shape, so that they can be computed
without each unit in turn; the signatures are sacrebleu's, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from evalharness.metrics.base import Floats, SumMetric, flag, options_of, ratio, whole_number, written_text
from evalharness.records.measurements import Metric
from evalharness.records.requests import Example
from evalharness.records.tasks import MetricSpec

ORDERS = {"char_order": 6, "word_order": 0, "beta": 2}  # sacrebleu's defaults, and lm-evaluation-harness's
TER_FLAGS = ("normalized", "no_punct", "asian_support", "case_sensitive")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfCounts(SumMetric):
    """A corpus metric of sacrebleu's. `settings` is the part of its signature between the number of references and the
    version.
    """

    settings: str

    def signature_with(self, examples: Sequence[Example]) -> str:
        """Return sacrebleu's own signature of a corpus of these examples."""
        counts = {len(example.references) for example in examples}
        return _signature(self.settings, str(counts.pop()) if len(counts) == 1 else "var")


def of_counts(
    spec: MetricSpec,
    settings: str,
    count: Callable[[str, Sequence[str]], Sequence[float]],
    of_sums: Callable[[Floats], Floats],
    width: int,
    parts: Callable[[Floats], Mapping[str, float]] | None = None,
) -> OfCounts:
    """Build the metric whose rows are `count` of a text and its references.

    The text is empty if no answer could be extracted. Rows raise TaskError for other responses.
    """
    return OfCounts(
        id=spec.id,
        signature=_signature(settings, "any"),
        width=width,
        read=lambda prediction: count(written_text(prediction, spec.id) or "", prediction.example.references),
        of_sums=of_sums,
        parts=parts,
        high=100.0,
        settings=settings,
    )


def _signature(settings: str, references: str) -> str:
    return f"nrefs:{references}|{settings}|version:{version('sacrebleu')}"


def chrf(spec: MetricSpec) -> Metric:
    """Build the metric `chrf`, the character n-gram F-score, 0-100 (Popović 2015); of several references the best one
    counts.

    Options, as in sacrebleu: char_order (6), word_order (0; 2 is chrF++), beta (2), lowercase, whitespace (both
    false).
    """
    options = options_of(spec, (*ORDERS, "lowercase", "whitespace"))
    usual = {**ORDERS, **({"word_order": 2} if spec.name == "chrf++" else {})}
    counter = CHRF(
        char_order=whole_number(spec, options, "char_order", usual["char_order"], 1, 10),
        word_order=whole_number(spec, options, "word_order", usual["word_order"], 0, 10),
        beta=whole_number(spec, options, "beta", usual["beta"], 1, 10),
        lowercase=flag(spec, options, "lowercase"),
        whitespace=flag(spec, options, "whitespace"),
    )
    orders, beta = counter.order, counter.beta

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        # unlike BLEU's and TER's, chrF's statistics have no public field
        counts: Sequence[float] = counter._extract_corpus_statistics([text], [[each] for each in references])[0]
        return counts

    case, space = ("lc" if counter.lowercase else "mixed"), ("yes" if counter.whitespace else "no")
    settings = f"case:{case}|eff:yes|nc:{counter.char_order}|nw:{counter.word_order}|space:{space}"
    if beta != ORDERS["beta"]:
        settings += f"|beta:{beta}"  # sacrebleu's signature leaves it out
    return of_counts(spec, settings, count, lambda sums: corpus_chrf(sums, orders, beta), 3 * orders)


def ter(spec: MetricSpec) -> Metric:
    """Build the metric `ter`, the translation edit rate (Snover et al. 2006): edits and shifts over words of the
    reference, times 100; lower is better.

    With several references it is the fewest edits over the mean length. An empty output has 100; one much longer than
    its reference has more. Options, as in sacrebleu, all false: normalized, no_punct, asian_support, case_sensitive.
    """
    options = options_of(spec, TER_FLAGS)
    normalized, no_punct, asian, cased = (flag(spec, options, key) for key in TER_FLAGS)
    counter = TER(normalized=normalized, no_punct=no_punct, asian_support=asian, case_sensitive=cased)

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        score = counter.sentence_score(text, list(references))
        return score.num_edits, score.ref_length

    words = {True: "yes", False: "no"}
    settings = f"case:{'mixed' if cased else 'lc'}|tok:{counter.tokenizer_signature}"
    settings += f"|norm:{words[normalized]}|punct:{words[not no_punct]}|asian:{words[asian]}"
    metric = of_counts(spec, settings, count, corpus_ter, 2)
    return replace(metric, high=math.inf, higher_is_better=False)


def corpus_chrf(sums: Floats, orders: int, beta: float) -> Floats:
    """Compute chrF (...), 0-100, from sums of rows (..., 3 × orders).

    Each order has three numbers: n-grams of the output, of the reference, and common ones. chrF is F-beta of the mean
    precision and the mean recall over orders; orders without n-grams on either side are left out.
    """
    output, reference, common = np.moveaxis(sums.reshape(*sums.shape[:-1], orders, 3), -1, 0)
    usable = (output > 0) & (reference > 0)
    precision = ratio(ratio(np.where(usable, common, 0.0), output).sum(-1), usable.sum(-1))
    recall = ratio(ratio(np.where(usable, common, 0.0), reference).sum(-1), usable.sum(-1))
    return 100.0 * ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def corpus_ter(sums: Floats) -> Floats:
    """Compute TER (...) from sums of rows (..., 2), which are edits and words.

    Without reference words it is 100 for a written text and 0 for none.
    """
    edits, words = sums[..., 0], sums[..., 1]
    return 100.0 * np.where(words > 0, ratio(edits, words), edits > 0)
