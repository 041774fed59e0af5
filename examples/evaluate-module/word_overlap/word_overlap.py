"""The share of a reference's distinct words that stand in the output, averaged over outputs."""

import datasets
import evaluate


class WordOverlap(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions and references: lists of texts",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        pairs = [
            (set(output.split()), set(right.split())) for output, right in zip(predictions, references, strict=True)
        ]
        return {"word_overlap": sum(len(ours & right) / len(right) for ours, right in pairs) / len(pairs)}
