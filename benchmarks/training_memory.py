"""The memory that trainings take, measured, beside what `evalharness plan --training` forecasts: methods on the tiny
base, on a random Llama of 66 million parameters and on any model that is named, each training in a process of its own.

    python benchmarks/training_memory.py [MODEL …] [--write]

Measured is how far the most memory of the process during a training of three steps (opening the weights and saving
included) lies above what it held before, libraries loaded and a first training of one step done: with glibc giving
back what is free (MALLOC_MMAP_THRESHOLD_=131072), and as it does by default, where gaps between blocks stay. Linux
only. The aim: forecasts within 20 % of the first; "ratio" is forecast by measured, "on disk" the same of the files.
`--write` puts the table into docs/memory.md.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import mmap
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from evalharness import peak_memory
from evalharness.data.sources import DataSource
from evalharness.tasks.library import Library
from evalharness.training import memory
from evalharness.training.data import gather
from evalharness.training.loop import train
from evalharness.training.memory_trace import forecast
from evalharness.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
TINY, PAGE = ROOT / "fixtures" / "models" / "tiny-base", ROOT / "docs" / "memory.md"
BEGIN, END = "<!-- memory: benchmarks/training_memory.py -->\n", "<!-- end of memory -->\n"
AIM, STEPS = 0.2, 3
TRAININGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("full", {"batch_size": 8}),
    ("lora", {"batch_size": 8}),
    ("prompt", {"batch_size": 8}),
    ("full", {"batch_size": 8, "gradient_checkpointing": True}),
    ("lora", {"batch_size": 8, "dtype": "bfloat16"}),
)
RETURNING = {"MALLOC_MMAP_THRESHOLD_": str(1 << 17)}  # glibc: every larger block is given back when it is free
LENGTH = 120


def make_llama(folder: Path) -> None:
    """A random model, with the tiny base's tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=640,
        intermediate_size=1728,
        num_hidden_layers=10,
        num_attention_heads=10,
        num_key_value_heads=5,
        vocab_size=16000,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)


def write_rows(tokenizer: PreTrainedTokenizerBase, path: Path, number: int) -> None:
    """Write texts of one length, all of which is learned."""
    text = "the cat sat on a mat"
    while len(tokenizer(f"{text} cat")["input_ids"]) < LENGTH:
        text += " cat"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for _ in range(number)))


def _resident() -> int:
    """The bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def trained(recipe: Recipe) -> int:
    """Train; the bytes that the process held more than before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    if not peak_memory.reset():
        sys.exit("peaks of memory can be measured on Linux only")
    before = _resident()
    train(recipe, gather(recipe, Library(), DataSource()), lambda _: None)
    return peak_memory.process_peak() - before


def one(model: str, method: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Train once in this process, and forecast that."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = Path(folder) / "rows.jsonl"
        shared: dict[str, Any] = {"train_file": str(lines), "device": "cpu", "steps": 1, **setting}
        for number, warm in enumerate(("full", method)):
            write_rows(AutoTokenizer.from_pretrained(TINY), lines, 64)
            trained(Recipe.from_fields(shared | {"method": warm, "base": str(TINY), "out": f"{folder}/warm-{number}"}))
        write_rows(AutoTokenizer.from_pretrained(model), lines, 64)
        own = {"method": method, "base": model, "out": f"{folder}/out", "steps": STEPS}
        recipe = Recipe.from_fields(shared | own)
        measured = trained(recipe)
        record = json.loads((Path(recipe.out) / "training.json").read_text())
        length, rest = divmod(record["tokens"], STEPS * recipe.batch_size)
        assert not rest, record["tokens"]  # nothing is padded
    expected = forecast(recipe, memory.row_shape(model, length, length - 1))
    assert (expected.trainable, expected.parameters) == (record["trainable"], record["parameters"])
    return {"measured": measured, "length": length, "disk": record["bytes"], "forecast": asdict(expected)}


def row_of(training: str, environment: dict[str, str]) -> dict[str, Any]:
    """Call `one` for a training, in a process of its own."""
    command, environment = [sys.executable, __file__, "--one", training], {**os.environ, **environment}
    process = subprocess.run(command, capture_output=True, text=True, env=environment)
    if process.returncode:
        sys.exit(f"{training}: {process.stderr}")
    return dict(json.loads(process.stdout.splitlines()[-1]))


def every(models: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """The cells of the table, a row a training."""
    for name, path in models.items():
        for method, setting in TRAININGS:
            training = json.dumps([path, method, setting])
            row, plain = row_of(training, RETURNING), row_of(training, {})
            peak, measured, disk = row["forecast"]["peak"], row["measured"], row["forecast"]["disk"]
            words = [f"{setting['batch_size']} × {row['length']}"]
            words += [str(value) if key == "dtype" else "checkpointing" for key, value in setting.items()][1:]
            sizes = (f"{size / 2**20:,.0f}" for size in (peak, measured, plain["measured"]))
            ratios = (f"{peak / measured:.2f}", f"{disk / row['disk']:.3f}")
            cells = (name, method, ", ".join(words), *sizes, *ratios)
            print(" | ".join(cells), flush=True)
            yield cells


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*json.loads(arguments.one))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_llama(Path(folder))
        models = {"tiny base (1 M)": str(TINY), "random Llama (66 M)": folder}
        cells = list(every(models | {Path(model).name: model for model in arguments.models}))
    titles = ("model", "method", "rows × tokens", "forecast, MiB", "measured", "by default", "ratio", "on disk")
    lines = [titles, ("---",) * len(titles), *cells]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if arguments.write:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{table}{END}{rest.split(END)[1]}")
    return 0 if all(abs(float(line[6]) - 1) <= AIM for line in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
