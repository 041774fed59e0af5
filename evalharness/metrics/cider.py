"""Score generated text by CIDEr-D (Vedantam et al. 2015), as pycocoevalcap computes it, which has to be installed.

How rare an n-gram is, is counted over all references of the corpus, so that the score is no function of summed rows:
opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from pycocoevalcap.cider.cider import Cider
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evalharness.metrics.base import Opaque, options_of, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec


def cider(spec: MetricSpec) -> Metric:
    """0 to 10, of 1- to 4-grams, with the length penalty of CIDEr-D. No options. One example alone scores 0: no n-gram
    is rarer than another.

    Tokens are those of mteval-v13a in lower case: the tokenizer that the package brings is a Java program.
    """
    options_of(spec, ())
    scorer = Cider(n=4, sigma=6.0)
    tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]

    def tokens(text: str) -> str:
        return tokenizer(text.lower())

    def value(predictions: Sequence[Prediction]) -> float:
        if not predictions:
            return 0.0
        outputs = {str(at): [tokens(written(prediction, spec.id) or "")] for at, prediction in enumerate(predictions)}
        references = {
            str(at): [tokens(text) for text in prediction.example.references]
            for at, prediction in enumerate(predictions)
        }
        return float(scorer.compute_score(references, outputs)[0])

    versions = f"pycocoevalcap:{version('pycocoevalcap')}|sacrebleu:{version('sacrebleu')}"
    signature = f"cider|n:4|sigma:6|case:lc|tok:13a|{versions}"
    return Opaque(id=spec.id, signature=signature, low=0.0, high=10.0, value=value)
