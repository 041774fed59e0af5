"""Combine several adapters of one base into one adapter with peft's `add_weighted_adapter`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file

from evalharness.checkpoints import files
from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.libraries import UNLOADABLE, without_warnings
from evalharness.checkpoints.load import load
from evalharness.checkpoints.precision import common_dtype
from evalharness.checkpoints.sealed import sealed
from evalharness.errors import UsageError, first_line, pass_on_memory_error
from evalharness.merging.into_base import DEVICE, EXACT
from evalharness.merging.job import MergeJob
from evalharness.merging.parents import Parents
from evalharness.merging.tokenizer_files import carry_tokenizer

FIRST, MERGED = "default", "merged"  # adapters' names in peft's wrapper
SUMMED = ("linear", "cat", "svd")  # methods whose result should be the weighted sum of the adapters' updates


def combine(job: MergeJob, parents: Parents, folder: Path) -> dict[str, Any]:
    """Write the combined adapter of the parents, and return facts for merge.json.

    For methods that stand for a weighted sum of the parents' updates, the fact `apart` states how far the combined
    update is from that sum. Raises UsageError if peft refuses to combine them.
    """
    loaded = load(parents.checkpoints[0], EXACT, DEVICE)
    wrapped = loaded.adapter
    assert wrapped is not None
    names = _load_others(wrapped, parents)
    first = wrapped.peft_config[FIRST]
    # peft copies the first configuration to the merged adapter, which must add B·A unscaled and without initialisation
    for key, value in (("use_rslora", False), ("init_lora_weights", True)):
        if hasattr(first, key):
            setattr(first, key, value)
    _add(job, parents, wrapped, names)
    apart = _apart(wrapped, dict(zip(names, parents.weights, strict=True))) if job.method in SUMMED else None
    dtype = job.dtype or common_dtype((parents.checkpoints[0].path / files.ADAPTER,))
    with without_warnings():
        tensors = get_peft_model_state_dict(wrapped, adapter_name=MERGED, save_embedding_layers=False)
    saved = {name: tensor.detach().to(DTYPES[dtype]).clone().contiguous() for name, tensor in tensors.items()}
    save_file(saved, folder / files.ADAPTER, metadata={"format": "pt"})
    config = wrapped.peft_config[MERGED]
    config.inference_mode = True
    for key, text in parents.base_for_peft().items():
        setattr(config, key, text)
    config.save_pretrained(str(folder))
    carry_tokenizer(parents.checkpoints, folder)
    return {"dtype": dtype, "rank": getattr(config, "r", None), "apart": apart}


def _load_others(wrapped: PeftModel, parents: Parents) -> list[str]:
    """Load all adapters but the first into the wrapped model, and return all their names there."""
    names = [FIRST]
    for number, checkpoint in enumerate(parents.checkpoints[1:], 2):
        names.append(f"adapter{number}")
        with sealed(checkpoint) as private, without_warnings():
            check_unchanged(private)
            wrapped.load_adapter(str(private.path), names[-1], torch_device=DEVICE, autocast_adapter_dtype=True)
    return names


def _add(job: MergeJob, parents: Parents, wrapped: PeftModel, names: list[str]) -> None:
    options: dict[str, Any] = {}
    if parents.checkpoints[0].adapter == "LORA":
        options = {"combination_type": job.method, "density": job.density, "svd_rank": job.rank}
    try:
        with without_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed)
            cast(Any, wrapped.base_model).add_weighted_adapter(names, list(parents.weights), MERGED, **options)
    except UNLOADABLE as error:
        pass_on_memory_error(error)
        fix = "another method, or merge each into the base by itself"
        raise UsageError(f"--method {job.method}", f"peft cannot combine these ({first_line(error)})", fix) from None


def _apart(wrapped: PeftModel, weights: dict[str, float]) -> float | None:
    """Return the norm of (the adapter's update − the weighted sum of its parents' updates), relative to that sum."""
    apart = whole = 0.0
    with torch.no_grad():
        layers: list[Any] = [module for module in wrapped.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            names = {*layer.lora_A, *layer.lora_embedding_A}
            if MERGED not in names:
                continue
            parts = [layer.get_delta_weight(name) * weight for name, weight in weights.items() if name in names]
            total = torch.stack(parts).sum(0)
            apart += float((layer.get_delta_weight(MERGED) - total).double().square().sum())
            whole += float(total.double().square().sum())
    return math.sqrt(apart / whole) if whole else None
