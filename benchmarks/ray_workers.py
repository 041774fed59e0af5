"""Measure two of Ray's workers of one core each against one, on blocks that only compute: the median ratio of seconds.

The goal: at most 0.7. It also prints what one worker takes compared with an engine without Ray.

    OMP_NUM_THREADS=1 python benchmarks/ray_workers.py [--rounds 7] [--blocks 16] [--model DIR]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.engines.ray.cluster import Cluster
from evalharness.engines.ray.factory import RayFactory
from evalharness.engines.ray.options import ray_options
from evalharness.engines.spreading import BlockJob
from evalharness.paths import shipped
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Rank
from evalharness.run.collect import BLOCK

GOAL = 0.7
WORDS_EACH = 60  # of a context
WORKERS = (1, 2)


def settings(workers: int) -> EngineSettings:
    return EngineSettings(name="ray", device="cpu", options={"workers": str(workers), "cpus": "0.5", "threads": "1"})


def blocks(count: int, seed: int) -> list[tuple[Rank, ...]]:
    """Rankings of two continuations of contexts that share no beginning."""
    draw = random.Random(seed)
    words = (shipped("fixtures/drift") / "neutral.txt").read_text().split()
    contexts = [" ".join(draw.choices(words, k=WORDS_EACH)) for _ in range(count * BLOCK)]
    requests = [Rank(pairs=((context, " yes"), (context, " no"))) for context in contexts]
    return [tuple(requests[start : start + BLOCK]) for start in range(0, len(requests), BLOCK)]


def by_ray(factory: RayFactory, checkpoint: Checkpoint, workers: int) -> Callable[[list[tuple[Rank, ...]]], None]:
    """Answers blocks by so many workers, which are there before they are timed."""

    def answer(blocks_asked: list[tuple[Rank, ...]]) -> None:
        spreader = factory.spread(settings(workers))
        for number, requests in enumerate(blocks_asked):
            spreader.add(BlockJob(number=number, checkpoint=checkpoint, requests=requests))
        assert sum(len(block.answers) for block in spreader.finished()) == len(blocks_asked) * BLOCK

    return answer


def without_ray(checkpoint: Checkpoint) -> Callable[[list[tuple[Rank, ...]]], None]:
    engine = FACTORY.open(checkpoint, EngineSettings(device="cpu"))

    def answer(blocks_asked: list[tuple[Rank, ...]]) -> None:
        for requests in blocks_asked:
            list(engine.answer(requests))

    return answer


def seconds(answer: Callable[[list[tuple[Rank, ...]]], None], blocks_asked: list[tuple[Rank, ...]]) -> float:
    begun = time.perf_counter()
    answer(blocks_asked)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--model", type=Path, default=shipped("fixtures/models") / "tiny-base")
    arguments = parser.parse_args()
    checkpoint = recognise(str(arguments.model))
    with ExitStack() as stack:
        stack.callback(Cluster(ray_options(settings(1))).close)
        ways = {"no Ray": without_ray(checkpoint)}
        for workers in WORKERS:  # half a core as Ray counts: all three are there at once, and one computes at a time
            factory = RayFactory()
            stack.enter_context(factory.keep_engines())
            factory.describe(checkpoint, settings(workers))
            ways[f"{workers} of Ray"] = by_ray(factory, checkpoint, workers)
        for answer in ways.values():  # every worker has the model open
            answer(blocks(4, seed=0))
        ratios, overheads = [], []
        for number in range(arguments.rounds):
            requests = blocks(arguments.blocks, seed=1 + number)
            order = list(ways) if number % 2 else list(ways)[::-1]
            took = {name: seconds(ways[name], requests) for name in order}
            ratios.append(took["2 of Ray"] / took["1 of Ray"])
            overheads.append(took["1 of Ray"] / took["no Ray"])
            print(", ".join(f"{name}: {took[name]:.2f} s" for name in ways), flush=True)
    print(f"two workers / one: median {statistics.median(ratios):.3f} of {len(ratios)} pairs (goal: {GOAL})")
    print(f"one worker / no Ray: median {statistics.median(overheads):.3f}")


if __name__ == "__main__":
    main()
