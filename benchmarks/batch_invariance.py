"""Measure how far batch sizes and threads move log-probabilities: the difference of a question's two best choices.

    python benchmarks/batch_invariance.py MODEL [--dtype bfloat16] [--data-dir DIR] [--limit 40] TASK …

Prints the largest and the 99th percentile of the movement in nats, how many questions changed their best choice, and
how many are near ties by `EngineInfo.near_tie`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from evalharness.checkpoints.recognise import recognise
from evalharness.data.sources import DataSource
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Rank, Ranking
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, default=40)
    options = parser.parse_args()
    checkpoint = recognise(options.model)
    source = DataSource(options.data_dir)
    requests: list[Rank] = []
    for name in options.tasks:
        prepared = prepare(Library().task(name), source, PromptSettings(limit=options.limit))
        requests += [request for request in prepared.requests if isinstance(request, Rank)]
    leads = {}
    for rows, threads in ((16, 2), (1, 2), (4, 2), (16, 1)):
        torch.set_num_threads(threads)
        settings = EngineSettings(device="auto", dtype=options.dtype, batch_size=rows)
        engine = FACTORY.open(checkpoint, settings)
        tie = engine.info.near_tie
        answers = [answer.logprobs for answer in engine.answer(requests) if isinstance(answer, Ranking)]
        leads[rows, threads] = [np.asarray(each) for each in answers]
        engine.close()
    reference, *others = leads.values()
    best = [int(each.argmax()) for each in reference]
    second = [int(np.argsort(each)[-2]) for each in reference]
    near = sum(each[b] - each[s] < tie for each, b, s in zip(reference, best, second, strict=True))
    for (rows, threads), other in zip(list(leads)[1:], others, strict=True):
        moved = [
            abs((mine[b] - mine[s]) - (its[b] - its[s]))
            for mine, its, b, s in zip(reference, other, best, second, strict=True)
        ]
        changed = sum(int(its.argmax()) != b for its, b in zip(other, best, strict=True))
        print(
            f"{rows:2} rows, {threads} threads against 16 rows, 2 threads: largest {max(moved):.2e}, "
            f"99 % {np.quantile(moved, 0.99):.2e}; {changed} of {len(moved)} changed, {near} near ties (< {tie:g})"
        )


if __name__ == "__main__":
    main()
