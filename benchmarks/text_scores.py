"""Measure the processor time of rouge-score and sacrebleu against ours, and check that every digit is the same.

Drawn summaries of 20 to 60 words, of a base and its candidates, are scored by ROUGE-1, -2, -L and -Lsum with the
stemmer and by BLEU's statistics. The aim: at least 8 times ours for ROUGE.

    python benchmarks/text_scores.py [--examples 10000] [--candidates 4] [--of-theirs 500]

Ours reads all examples as metrics of a task do, one metric after the other and one model after the other; theirs, so
many of them, at once and already one sentence a line. Texts are words of a skewed distribution; a model's are its
reference with some words drawn anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from evalharness.metrics.build import build
from evalharness.metrics.sentences import one_per_line
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec

AIM = 8.0
ROUGES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
ENDINGS = ("", "", "s", "ed", "ing", "ation", "ly")
Pair = tuple[str, str]  # output, reference
Words = NDArray[np.str_]


def draw(examples: int, models: int) -> list[list[Pair]]:
    """Of each model the pairs of all examples; always the same."""
    rng = np.random.default_rng(5)
    stems = ["".join(rng.choice([*"aeioulnrst"], size=rng.integers(2, 8))) for _ in range(3000)]
    words = np.array([stem + ENDINGS[at % len(ENDINGS)] for at, stem in enumerate(stems)])
    shares = 1 / np.arange(1.0, len(words) + 1)
    shares /= shares.sum()
    references = [rng.choice(words, size=rng.integers(20, 61), p=shares) for _ in range(examples)]

    def near(reference: Words) -> Words:
        other = rng.choice(words, size=len(reference), p=shares)
        return np.where(rng.uniform(size=len(reference)) < 0.4, other, reference)

    return [[(text(near(each)), text(each)) for each in references] for _ in range(models)]


def text(words: Words) -> str:
    """Sentences of 14 words."""
    return " ".join(f"{' '.join(words[at : at + 14]).capitalize()}." for at in range(0, len(words), 14))


def predictions(pairs: list[Pair]) -> Iterator[Prediction]:
    for at, (output, reference) in enumerate(pairs):
        example = Example(id=str(at), unit=str(at), prompt="", references=(reference,))
        response = Generation(request_id=str(at), text=output, finish_reason="eos", tokens=1)
        yield Prediction(example=example, response=response, text=output)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    value = work()
    return time.process_time() - begun, value


def ours(names: Sequence[str], models: list[list[Prediction]]) -> list[list[list[tuple[float, ...]]]]:
    """Rows of every model, metric and example."""
    options: dict[str, Any] = {"use_stemmer": True}
    metrics = [build(MetricSpec(id=name, name=name, options=options if name != "bleu" else {})) for name in names]
    return [[[*map(metric.row, model)] for metric in metrics] for model in models]


def rouge_score(pairs: list[Pair]) -> list[list[tuple[float, ...]]]:
    scorer = RougeScorer(ROUGES, use_stemmer=True)
    scores = [scorer.score(reference, output) for output, reference in pairs]
    return [[(score[name].fmeasure, 1.0) for score in scores] for name in ROUGES]


def sacrebleu(pairs: list[Pair]) -> list[list[tuple[float, ...]]]:
    counter = BLEU(effective_order=True, smooth_method="none")
    scores = [counter.sentence_score(output, [reference]) for output, reference in pairs]
    return [[(score.sys_len, score.ref_len, *score.counts, *score.totals) for score in scores]]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--of-theirs", type=int, default=500, help="of the last model's examples")
    arguments = parser.parse_args()
    texts = draw(arguments.examples, 1 + arguments.candidates)
    models = [[*predictions(pairs)] for pairs in texts]
    some = texts[-1][: arguments.of_theirs]
    lines = [(one_per_line(output), one_per_line(reference)) for output, reference in some]
    print(f"{arguments.examples:,} examples × {len(models)} models; microseconds of processor time a text")
    ratios, alike = [], True
    for label, names, theirs, pairs in (
        ("ROUGE-1/2/L/Lsum", ROUGES, rouge_score, lines),
        ("BLEU", ("bleu",), sacrebleu, some),
    ):
        elapsed, expected = seconds(partial(theirs, pairs))
        needed, rows = seconds(partial(ours, names, models))
        alike &= [metric[: len(pairs)] for metric in rows[-1]] == expected
        each, other = needed / (arguments.examples * len(models)), elapsed / len(pairs)
        ratios.append(other / each)
        print(
            f"{label:17} theirs {1e6 * other:7.0f}  ours {1e6 * each:5.0f}  × {ratios[-1]:.1f}  all ours {needed:.1f} s"
        )
    print(f"digits are {'the same' if alike else 'NOT THE SAME'}")
    return 0 if alike and ratios[0] >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
