"""Score generated text by corpus NIST (Doddington 2002), as nltk computes it.

How much an n-gram informs is counted over all references of the corpus, so that the score is no function of summed
rows: opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from nltk.translate.nist_score import corpus_nist
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evalharness.metrics.base import Opaque, flag, options_of, whole, written
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec


def nist(spec: MetricSpec) -> Metric:
    """Tokens are those of mteval-v13a, lower case unless `case_sensitive`, as the NIST script has it. `high` is for
    display; more is possible.

    Options: n (5), the longest n-gram; case_sensitive (false). Orders of which no output has an n-gram add nothing
    (nltk would divide by zero).
    """
    options = options_of(spec, ("n", "case_sensitive"))
    order, cased = whole(spec, options, "n", 5, 1, 10), flag(spec, options, "case_sensitive")
    tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]

    def tokens(text: str) -> list[str]:
        return tokenizer(text if cased else text.lower()).split()

    def value(predictions: Sequence[Prediction]) -> float:
        outputs = [tokens(written(prediction, spec.id) or "") for prediction in predictions]
        references = [[tokens(text) for text in prediction.example.references] for prediction in predictions]
        most = min(order, max(map(len, outputs), default=0))
        return float(corpus_nist(references, outputs, most)) if most and any(map(any, references)) else 0.0

    versions = f"nltk:{version('nltk')}|sacrebleu:{version('sacrebleu')}"
    signature = f"nist|n:{order}|case:{'mixed' if cased else 'lc'}|tok:13a|{versions}"
    return Opaque(id=spec.id, signature=signature, low=0.0, high=20.0, value=value)
