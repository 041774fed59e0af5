"""Offer our metrics as `evaluate.Metric`: for `evaluate.combine`, and for `.compute` outside a run.

    >>> both = evaluate.combine([evaluate_metric("rougeL", use_stemmer=True), evaluate_metric("exact_match")])
    >>> both.compute(predictions=["a b"], references=[["a b", "c"]])

The inputs depend on the metric: texts and one or several reference texts (exact_match, em, token_f1, rouge…, bleu,
chrf, ter…); picked and right indices (acc, mcc, f1, f1a); log-probabilities of the choices and right indices
(brier_score, ece, and acc_norm and acc_bytes, which also need `choices=`). Metrics that need more of an example (its
unit, its labels, the length of its text) are not offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics import ROUGE
from evalharness.metrics.base import OpaqueMetric
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

CHOSEN = ("acc", "mcc", "f1", "f1a")
RANKED = ("acc_norm", "acc_bytes", "brier_score", "ece")
TEXTS = (*("exact_match", "em", "token_f1", *ROUGE), *("bleu", "chrf", "chrf++", "ter", "nist", "meteor", "cider"))

TEXT, INDEX = datasets.Value("string"), datasets.Value("int64")
FEATURES = {
    "chosen": datasets.Features({"predictions": INDEX, "references": INDEX}),
    "ranked": datasets.Features({"predictions": datasets.List(datasets.Value("float64")), "references": INDEX}),
    "text": [
        datasets.Features({"predictions": TEXT, "references": datasets.List(TEXT)}),
        datasets.Features({"predictions": TEXT, "references": TEXT}),
    ],
}


class EvaluateMetric(evaluate.Metric):  # type: ignore[misc]
    """One of our metrics behind the interface of the `evaluate` library. `compute` returns {id: score}."""

    def __init__(self, spec: MetricSpec, **settings: Any) -> None:
        self.spec, self.metric = spec, build(spec)
        if spec.name not in (*CHOSEN, *RANKED, *TEXTS):
            what = "reads more of an example than a prediction and its references"
            raise TaskError(
                f"metric {spec.name}",
                what,
                f"of the metrics, these can be offered: {', '.join((*CHOSEN, *RANKED, *TEXTS))}",
            )
        self.form = "chosen" if spec.name in CHOSEN else "ranked" if spec.name in RANKED else "text"
        super().__init__(**{"keep_in_memory": True, **settings})
        self.info.module_name = spec.name

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=f"{self.spec.id} ({self.metric.signature})",
            citation="",
            inputs_description="",
            features=FEATURES[self.form],
        )

    def _compute(
        self, predictions: Sequence[Any], references: Sequence[Any], choices: Sequence[Sequence[str]] | None = None
    ) -> dict[str, float]:
        if self.spec.name in ("acc_norm", "acc_bytes") and choices is None:
            raise ValueError(f"{self.spec.name} needs choices=: the texts of the choices of each example")
        read = list(self._predictions(predictions, references, choices))
        if isinstance(self.metric, OpaqueMetric):
            return {self.metric.id: self.metric.point(read)}
        rows = [self.metric.row(prediction) for prediction in read]
        sums = np.array(rows, dtype=np.float64).reshape(len(rows), self.metric.width).sum(0)
        return {self.metric.id: float(self.metric.score(sums))}

    def _predictions(
        self, predictions: Sequence[Any], references: Sequence[Any], choices: Sequence[Sequence[str]] | None
    ) -> Iterator[Prediction]:
        texts = choices if choices is not None else [()] * len(predictions)
        for index, (output, reference, names) in enumerate(zip(predictions, references, texts, strict=True)):
            yield _prediction(self.form, str(index), output, reference, tuple(names))


def evaluate_metric(name: str, **options: Any) -> EvaluateMetric:
    """Return the metric `name` with its options (`use_stemmer=True`) as an `evaluate.Metric`.

    Raises TaskError for an unknown metric, or one that is not offered.
    """
    on = ",stemmer" if options.get("use_stemmer") is True else ""
    return EvaluateMetric(MetricSpec(id=name + on, name=name, options=options))


def _prediction(form: str, name: str, output: Any, reference: Any, choices: tuple[str, ...]) -> Prediction:
    if form == "text":
        references = (reference,) if isinstance(reference, str) else tuple(reference)
        return Prediction(
            example=Example(id=name, unit=name, prompt="", references=references),
            response=Generation(request_id=name, text=output, finish_reason="eos", tokens=0),
            text=output,
        )
    if form == "chosen":
        return Prediction(
            example=Example(id=name, unit=name, prompt="", gold=(int(reference),)),
            response=Ranking(request_id=name, logprobs=(), tokens=(), greedy=()),
            choice=int(output),
        )
    logprobs = tuple(float(value) for value in output)
    example = Example(id=name, unit=name, prompt="", choices=choices or ("",) * len(logprobs), gold=(int(reference),))
    return Prediction(
        example=example,
        response=Ranking(request_id=name, logprobs=logprobs, tokens=(), greedy=()),
        choice=int(np.argmax(logprobs)),
    )
