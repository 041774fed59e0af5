"""Score summaries by ROUGE-1, -2, -L and -Lsum with one implementation, in a process of its own.

    python benchmarks/speed/summaries.py ours|theirs COUNT

Prints processor and wall seconds and all F-measures as JSON. rouge-score is given each summary as it takes sentences,
one a line; ours has to split them.
"""

from __future__ import annotations

import json
import sys
import time

from rouge_score.rouge_scorer import RougeScorer
from texts import Writer

from evalharness.metrics import sentences
from evalharness.metrics.build import build
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def pairs(count: int) -> list[tuple[str, str]]:
    """References and summaries of 20 to 60 words, which share half of their words."""
    writer = Writer(6)
    references = [writer.text(20, 60) for _ in range(count)]
    return [(text, " ".join([*text.split()[: len(text.split()) // 2], writer.text(10, 30)])) for text in references]


def ours(texts: list[tuple[str, str]]) -> list[list[float]]:
    metrics = [build(MetricSpec(id=f"{name},stemmed", name=name, options={"use_stemmer": True})) for name in NAMES]
    predictions = [
        Prediction(
            example=Example(id=str(number), unit=str(number), prompt="", references=(reference,)),
            response=Generation(request_id="", text=text, finish_reason="stop", tokens=1),
            text=text,
        )
        for number, (reference, text) in enumerate(texts)
    ]
    by_metric = [[metric.row(prediction)[0] for prediction in predictions] for metric in metrics]
    return [list(scores) for scores in zip(*by_metric, strict=True)]


def theirs(texts: list[tuple[str, str]]) -> list[list[float]]:
    scorer = RougeScorer(list(NAMES), use_stemmer=True)
    scores = [scorer.score(reference, text) for reference, text in texts]
    return [[float(score[name].fmeasure) for name in NAMES] for score in scores]


def main() -> None:
    texts = pairs(int(sys.argv[2]))
    score = {"ours": ours, "theirs": theirs}[sys.argv[1]]
    if score is theirs:
        texts = [(sentences.one_per_line(reference), sentences.one_per_line(text)) for reference, text in texts]
    score(texts[:1])  # imports what it needs
    busy, wall = time.process_time(), time.perf_counter()
    scores = score(texts)
    cost = {"busy": time.process_time() - busy, "wall": time.perf_counter() - wall}
    print(json.dumps({**cost, "scores": scores}))


if __name__ == "__main__":
    main()
