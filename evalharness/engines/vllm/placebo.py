"""Write a LoRA that adds zero, so that a base can answer through vLLM's code for adapters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evalharness.checkpoints import files
from evalharness.checkpoints.lora_sizes import WRAPPER
from evalharness.engines.vllm.adapters import LINEAR
from evalharness.records.models import Checkpoint

RANK = 8


def write_placebo(checkpoint: Checkpoint, folder: Path) -> None:
    """Write A of ones and B of zeros for every linear layer of the base into a folder, as peft saves a LoRA."""
    stored = files.all_tensors(files.weight_files(checkpoint.weights))
    layers = {
        name.removesuffix(".weight"): facts.shape
        for name, facts in stored.items()
        if name.endswith(".weight") and len(facts.shape) == 2 and name.split(".")[-2] in LINEAR
    }
    matrices = {}
    for name, (out, inside) in layers.items():
        matrices[f"{WRAPPER}{name}.lora_A.weight"] = np.ones((RANK, inside), dtype=np.float32)
        matrices[f"{WRAPPER}{name}.lora_B.weight"] = np.zeros((out, RANK), dtype=np.float32)
    save_file(matrices, folder / files.ADAPTER)
    targets = sorted({name.rpartition(".")[2] for name in layers})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": targets, "bias": "none"}
    (folder / files.ADAPTER_CONFIG).write_text(json.dumps(config), encoding="utf-8")
