"""Edits that make the references of the outputs, as a share of all characters of the references, at most 2."""

import datasets
import evaluate


class EditRate(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions and references: lists of texts",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        total = sum(edits(output, right) for output, right in zip(predictions, references, strict=True))
        return {"edit_rate": min(2.0, total / sum(map(len, references)))}


def edits(output: str, right: str) -> int:
    """Levenshtein's distance, one row of its table at a time."""
    before = list(range(len(right) + 1))
    for at, character in enumerate(output, start=1):
        row = [at]
        for to, other in enumerate(right, start=1):
            row.append(min(before[to] + 1, row[-1] + 1, before[to - 1] + (character != other)))
        before = row
    return before[-1]
