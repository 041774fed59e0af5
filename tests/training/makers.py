"""Recipes for the little models, and what two candidates have in common."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from evalharness.training.recipe import Recipe

RATES = {
    "full": 0.01,
    "layers": 0.01,
    "bitfit": 0.05,
    "lora": 0.01,
    "ia3": 0.1,
    "prompt": 0.1,
    "prefix": 0.1,
    "p-tuning": 0.02,
}
OWN = {method: {"virtual_tokens": 4} for method in ("prompt", "prefix", "p-tuning")} | {
    "layers": {"parameters": ("*.1.*",)}
}


def recipe(base, out, method="lora", **changes):
    common = {"steps": 6, "batch_size": 4, "device": "cpu", "learning_rate": RATES[method], **OWN.get(method, {})}
    target = changes.pop("target", "films")
    return Recipe(method=method, base=str(base), out=str(out), target=target, **{**common, **changes})


def silent(text): ...


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def equal(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
