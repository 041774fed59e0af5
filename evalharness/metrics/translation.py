"""Generated text to corpus chrF, chrF++ and TER, from sacrebleu's sufficient statistics.

As for BLEU, scores of summed rows are sacrebleu's, in float64 and over any leading shape, so that they can be
resampled; so are the signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from evalharness.errors import TaskError
from evalharness.metrics.base import flag, options_of, ratio, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Example
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

ORDERS = {"char_order": 6, "word_order": 0, "beta": 2}  # sacrebleu's defaults, and lm-evaluation-harness's
TER_FLAGS = ("normalized", "no_punct", "asian_support", "case_sensitive")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OfCounts:
    """A corpus metric of sacrebleu's. `count`: a text and its references to a row; `of_sums`: summed rows (..., width)
    to scores (...).
    """

    id: str
    settings: str  # of the signature, between the number of references and the version
    count: Callable[[str, Sequence[str]], Sequence[float]]
    of_sums: Callable[[Floats], Floats]
    width: int
    higher_is_better: bool
    kind: MetricKind = MetricKind.CORPUS
    low: float = 0.0
    high: float = 100.0

    @property
    def signature(self) -> str:
        return self._signature("any")

    def signature_with(self, examples: Sequence[Example]) -> str:
        """sacrebleu's own signature of a corpus of these examples."""
        counts = {len(example.references) for example in examples}
        return self._signature(str(counts.pop()) if len(counts) == 1 else "var")

    def _signature(self, references: str) -> str:
        return f"nrefs:{references}|{self.settings}|version:{version('sacrebleu')}"

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        """Raises TaskError where nothing was written. What no answer could be read from counts as an empty text."""
        found = self.count(written(prediction, self.id) or "", prediction.example.references)
        return tuple(float(number) for number in found)

    def score(self, sums: Floats) -> Floats:
        return self.of_sums(np.asarray(sums, dtype=np.float64))


def chrf(spec: MetricSpec) -> Metric:
    """Character n-gram F-score, 0-100 (Popović 2015); of several references the one with the best score counts.

    Options, as in sacrebleu: char_order (6), word_order (0; 2 is chrF++), beta (2), lowercase, whitespace (both false).
    """
    options = options_of(spec, (*ORDERS, "lowercase", "whitespace"))
    numbers: dict[str, Any] = {
        key: _whole(spec, options, key, 2 if (spec.name, key) == ("chrf++", "word_order") else usual)
        for key, usual in ORDERS.items()
    }
    counter = CHRF(**numbers, lowercase=flag(spec, options, "lowercase"), whitespace=flag(spec, options, "whitespace"))
    orders, beta = counter.order, counter.beta

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        # The statistics are in no public field of a chrF score, as BLEU's and TER's are.
        found: Sequence[float] = counter._extract_corpus_statistics([text], [[reference] for reference in references])[
            0
        ]
        return found

    case, space = ("lc" if counter.lowercase else "mixed"), ("yes" if counter.whitespace else "no")
    settings = f"case:{case}|eff:yes|nc:{counter.char_order}|nw:{counter.word_order}|space:{space}"
    if beta != ORDERS["beta"]:
        settings += f"|beta:{beta}"  # sacrebleu's signature is silent about it
    return OfCounts(
        spec.id, settings, count, lambda sums: corpus_chrf(sums, orders, beta), 3 * orders, higher_is_better=True
    )


def ter(spec: MetricSpec) -> Metric:
    """Translation edit rate (Snover et al. 2006): edits and shifts over words of the reference, times 100; lower is
    better.

    With several references the fewest edits count, over the mean length. `high` is what an empty output has; one much
    longer than its reference can have more. Options, as in sacrebleu, all false: normalized, no_punct, asian_support,
    case_sensitive.
    """
    options = options_of(spec, TER_FLAGS)
    on: dict[str, Any] = {key: flag(spec, options, key) for key in TER_FLAGS}
    counter = TER(**on)

    def count(text: str, references: Sequence[str]) -> Sequence[float]:
        found = counter.sentence_score(text, list(references))
        return (found.num_edits, found.ref_length)

    said = {True: "yes", False: "no"}
    settings = f"case:{'mixed' if on['case_sensitive'] else 'lc'}|tok:{counter.tokenizer_signature}"
    settings += f"|norm:{said[on['normalized']]}|punct:{said[not on['no_punct']]}|asian:{said[on['asian_support']]}"
    return OfCounts(spec.id, settings, count, corpus_ter, 2, higher_is_better=False)


def corpus_chrf(sums: Floats, orders: int, beta: float) -> Floats:
    """Statistics (..., 3 × orders) to chrF (...), 0-100: F-beta of the mean precision and the mean recall over n-gram
    orders.

    Per order: n-grams of the output, of the reference, and common ones. An order that either side has none of is left
    out.
    """
    output, reference, common = np.moveaxis(sums.reshape(*sums.shape[:-1], orders, 3), -1, 0)
    usable = (output > 0) & (reference > 0)
    precision = ratio(ratio(np.where(usable, common, 0.0), output).sum(-1), usable.sum(-1))
    recall = ratio(ratio(np.where(usable, common, 0.0), reference).sum(-1), usable.sum(-1))
    return 100.0 * ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall)


def corpus_ter(sums: Floats) -> Floats:
    """Statistics (..., 2) of edits and words to TER (...): 100 where there is something written and no reference word,
    0 where there is neither.
    """
    edits, words = sums[..., 0], sums[..., 1]
    return 100.0 * np.where(words > 0, ratio(edits, words), edits > 0)


def _whole(spec: MetricSpec, options: Mapping[str, Any], key: str, usual: int) -> int:
    """A whole number, `usual` where absent. Raises TaskError."""
    value, least = options.get(key, usual), 0 if key == "word_order" else 1
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10:
        raise TaskError(
            f"metric {spec.name}", f"{key} is {value!r}", f"a whole number from {least} to 10 would be right"
        )
    return value
