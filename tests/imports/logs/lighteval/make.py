"""Record the logs beside this file: python make.py (lighteval 0.13.0, torch 2.13.0, transformers 5.24.0, xxhash 3)

The repository's tiny model and the same with noise in its weights answer two tasks through the function behind
`lighteval accelerate`. lighteval's own tasks are not loaded, since some of them ask the hub when they are imported;
xxhash 4 refuses the texts that this version gives it. No task measures perplexity: this version loses its answers.
What names the machine is left out of the results files, and token ids of the details, which are long.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import torch
from lighteval.main_accelerate import accelerate
from lighteval.tasks import registry
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[3] / "fixtures"
ROWS = FIXTURES / "world" / "rows"
REVIEWS = ROWS / "nyu-mll" / "glue" / "sst2"
COPYING = ROWS / "hails" / "bigbench" / "repeat_copy_logic_zero_shot"
TASKS = "reviews|2,copying|0"
NOISE = 0.25  # of a tensor's own spread


def write_rows(folder: Path) -> None:
    for name, source, rows in (("reviews", REVIEWS, 16), ("copying", COPYING, 12)):
        (folder / name).mkdir()
        for split, count in (("train", 4), ("test", rows)):
            lines = (source / f"{'validation' if split == 'test' else 'train'}.jsonl").read_text().splitlines()
            kept = [json.loads(line) for line in lines[:count]]
            if name == "reviews" and split == "test":
                kept[5] = kept[3]  # a question that comes twice
            (folder / name / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))


def write_models(folder: Path) -> None:
    shutil.copytree(FIXTURES / "models" / "tiny-base", folder / "base")
    shutil.copytree(FIXTURES / "models" / "tiny-base", folder / "tuned")
    generator = torch.Generator().manual_seed(11)
    tensors = load_file(folder / "tuned" / "model.safetensors")
    for name in sorted(tensors):
        spread = NOISE * tensors[name].std() if tensors[name].dim() > 1 else 0.0
        tensors[name] += spread * torch.randn(tensors[name].shape, generator=generator)
    save_file(tensors, folder / "tuned" / "model.safetensors", metadata={"format": "pt"})


def without_tokens(file: Path) -> None:
    """Empty the lists of token ids; all other columns stay as they were written."""
    table = pq.read_table(file)
    rows = table.to_pylist()
    for row in rows:
        row["model_response"].update(input_tokens=[], output_tokens=[])
    pq.write_table(type(table).from_pylist(rows, schema=table.schema.remove_metadata()), file, compression="zstd")


def evaluate(model: str) -> None:
    registry.Registry._load_from_files = staticmethod(lambda files, prefix: {})
    registry.Registry._load_from_subdirs = staticmethod(lambda folders: {})
    accelerate(
        model_args=f"model_name={model},dtype=float32,batch_size=8",
        tasks=TASKS,
        custom_tasks=str(HERE / "tasks.py"),
        output_dir=f"out/{model}",
        save_details=True,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder)
        write_models(folder)
        environment = os.environ | {"ROWS": str(folder), "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
        for model in ("base", "tuned"):
            subprocess.run([sys.executable, __file__, model], check=True, cwd=folder, env=environment)
            shutil.rmtree(HERE / model, ignore_errors=True)
            shutil.copytree(folder / "out" / model, HERE / model)
        for file in HERE.rglob("results_*.json"):
            file.write_text(file.read_text().replace(f"{folder}/", "").replace(f"{HERE}/", ""))
        for file in HERE.rglob("details_*.parquet"):
            without_tokens(file)
            file.rename(file.with_name(file.name.replace("|", "%7C")))  # which form.py takes back


if __name__ == "__main__":
    evaluate(sys.argv[1]) if sys.argv[1:] else main()
