"""Measure what our engine's answers cost as a workload grows along one axis: seconds of processor time, and tokens fed
to the model. Writes the second table of docs/speed.md.

    python benchmarks/speed/scale.py            (make bench-scale; about 5 minutes of two cores)
    python benchmarks/speed/scale.py --quick    the two smallest points of each axis, and writes nothing
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import models
import table
import torch
from texts import Writer
from torch import nn
from workloads import Bench, of_task

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Request
from evalharness.run.collect import blocks

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- scale: benchmarks/speed/scale.py -->", "<!-- /scale -->"
SETTINGS = EngineSettings(device="cpu")
EXAMPLES = 32


@contextmanager
def tokens_fed() -> Iterator[list[int]]:
    """Counts the tokens, padding included, that word embeddings are looked up for."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Embedding):
            counts.append(inputs[0].numel())

    hook = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        yield counts
    finally:
        hook.remove()


def cost(bench: Bench, requests: list[Request], adapters: list[Path]) -> tuple[float, int]:
    """Processor seconds and tokens for the base, then for each adapter on it; loading included for the adapters
    alone.
    """
    base = bench.model("30M")
    engine = FACTORY.open(recognise(str(base)), SETTINGS)
    with tokens_fed() as counts:
        begun = time.process_time()
        for adapter in [None, *adapters]:
            if adapter:
                engine = FACTORY.open_after(engine, recognise(str(adapter), base=str(base)), SETTINGS)
            for block in blocks(requests):
                list(engine.answer(list(block.values())))
        seconds = time.process_time() - begun
    engine.close()
    return seconds, sum(counts)


def ranked(bench: Bench, examples: int, choices: int) -> list[Request]:
    writer = Writer(7)
    rows = [writer.ranked(choices, choices) for _ in range(examples)]
    return of_task(bench, "scale_ranked", "ranked", {"test": rows})


def letters(bench: Bench, shots: int) -> list[Request]:
    writer = Writer(8)
    rows = {"dev": [writer.letters() for _ in range(10)], "test": [writer.letters() for _ in range(EXAMPLES)]}
    return of_task(bench, "scale_letters", "letters", rows, shots=shots)


def passages(bench: Bench, words: int) -> list[Request]:
    writer = Writer(9)
    rows = [{**writer.passage(), "passage": writer.text(words, words)} for _ in range(EXAMPLES)]
    return of_task(bench, "scale_passages", "passage", {"test": rows})


AXES: dict[str, tuple[tuple[int, ...], Callable[[Bench, int], list[Request]]]] = {
    "examples (4 choices)": ((16, 32, 64, 128), partial(ranked, choices=4)),
    "choices (32 examples)": ((2, 4, 8, 16), lambda bench, count: ranked(bench, EXAMPLES, count)),
    "shots (32 examples)": ((0, 1, 5, 10), letters),
    "words of a passage (32 examples)": ((50, 100, 200, 400), passages),
    "LoRA candidates beside the base (32 examples)": ((0, 1, 2, 4), lambda bench, _: ranked(bench, EXAMPLES, 4)),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bench = Bench(folder=ROOT / "runs" / "bench")
    lines = ["| axis | value | seconds | tokens fed |", "|---|---|---|---|"]
    for axis, (values, make) in AXES.items():
        for value in values[: 2 if arguments.quick else None]:
            count = value if axis.startswith("LoRA") else 0
            adapters = [
                models.cached(
                    bench.folder / "models" / f"30M-scale-{seed}",
                    partial(models.make_lora, base=bench.model("30M"), seed=seed),
                )
                for seed in range(30, 30 + count)
            ]
            seconds, tokens = cost(bench, make(bench, value), adapters)
            lines.append(f"| {axis} | {value} | {seconds:.1f} | {tokens:,} |")
            print(lines[-1], flush=True)
    if not arguments.quick:
        page = ROOT / "docs" / "speed.md"
        page.write_text(table.between(page.read_text("utf-8"), "\n".join(lines) + "\n", BEGIN, END), "utf-8")
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
